/** What all parts of the console do with the page. Data only ever becomes text. */

export const byId = (id) => document.getElementById(id);

/** A copy of the template `id`. */
export const copy = (id) => byId(id).content.firstElementChild.cloneNode(true);

/** Say something to those who cannot see it. */
export const announce = (text) => { byId("announcer").textContent = text; };

/** Set a text only where it differs, so that nothing is announced, selected or laid out for nothing. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** JSON in which integers that only a BigInt can be have all their digits. */
export const toJSON = (value, space) =>
  JSON.stringify(value, (key, each) => typeof each === "bigint" ? JSON.rawJSON(each) : each, space);

/** A new element with a class and a text. */
export function make(tag, name, text = "") {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}

/** Make `wanted` the children of `parent`, moving as few as possible and keeping the focus. */
export function arrange(parent, wanted) {
  const focused = document.activeElement;
  const stay = new Set(wanted);
  for (const child of [...parent.children]) if (!stay.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of wanted) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}
