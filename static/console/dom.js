/** DOM helpers of the console. Data only ever becomes text, never markup. */

export const byId = (id) => document.getElementById(id);

/** A new element: a copy of the template `id`. */
export const copy = (id) => byId(id).content.firstElementChild.cloneNode(true);

/** Announce a text to screen readers. */
export const announce = (text) => { byId("announcer").textContent = text; };

/** Set a text only if it differs: writing the same again would announce it, drop a selection and cost a layout. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set a text of a description, in which what is between backticks is code. */
export function writeProse(element, text) {
  const parts = text.split(/`([^`]+)`/); // each second one was between backticks
  const known = [...element.childNodes].map(({ textContent }) => textContent).join("`");
  if (known === parts.join("`")) return;
  element.replaceChildren(...parts.map((part, index) => index % 2 ? make("code", "", part) : part));
}

/** JSON.stringify that also takes BigInts, and writes all their digits. */
export const toJSON = (value, space) =>
  JSON.stringify(value, (key, each) => typeof each === "bigint" ? JSON.rawJSON(each) : each, space);

/** A new element with a class and a text. */
export function make(tag, name, text = "") {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}

/** Make `wanted` the children of `parent`. Moves few elements and keeps the focus. */
export function arrange(parent, wanted) {
  const focused = document.activeElement;
  const kept = new Set(wanted);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of wanted) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}
