/** Copying text, and commands that can be copied. */

import { announce, make } from "./dom.js";

const SHOWN = 2000; // ms that a button says that it has copied

/** Copy a text. Returns whether that was possible. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // a page over plain HTTP has no clipboard
  }
}

function copyBySelection(text) {
  const area = make("textarea", "visually-hidden"), focused = document.activeElement;
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return isCopied;
}

/** Make a button copy what `text()` returns. */
export function makeCopyButton(button, text) {
  const caption = button.textContent;
  let timer = 0;
  button.addEventListener("click", async () => {
    const isCopied = await copyText(text());
    announce(isCopied ? "Copied" : "The browser does not let pages copy");
    button.textContent = isCopied ? "Copied" : "Not copied";
    clearTimeout(timer);
    timer = setTimeout(() => { button.textContent = caption; }, SHOWN);
  });
}

/** A command or setting with a button that copies it. */
export function copyable(text) {
  const element = make("span", "copyable"), button = make("button", "command", "Copy"), code = make("code", "", text);
  button.type = "button";
  button.ariaLabel = `Copy ${text}`;
  makeCopyButton(button, () => code.textContent);
  element.append(code, button);
  return element;
}
