/** The box for arguments that are not described: typed as text, with those used last as suggestions. */

import { parseArguments } from "./arguments.js";
import { remember, remembered } from "./memory.js";

export class TextBox {
  constructor(input) {
    this.input = input;
    this.label = input.closest("label");
    this.filled = ""; // what it was filled with, and not by the user
  }

  /** Fill in the arguments used last, unless the user has typed something else. */
  recall(key) {
    const texts = this.suggest(key);
    if (this.input.value && this.input.value !== this.filled) return;
    this.filled = this.input.value = texts[0] || "";
  }

  suggest(key) {
    const texts = remembered(key);
    this.input.list?.replaceChildren(...texts.filter(Boolean).map((text) => new Option(text, text)));
    return texts;
  }

  /** The arguments and their text. Throws an Error to show to the user, and takes the focus. */
  readAll() {
    const text = this.input.value.trim();
    this.input.ariaInvalid = "false";
    try {
      return { args: parseArguments(text), text };
    } catch (error) {
      this.input.ariaInvalid = "true";
      this.input.focus();
      throw error;
    }
  }

  /** Remember a text that was sent. `isCurrent`: the box still belongs to that key. */
  remember(key, text, isCurrent) {
    remember(key, text);
    if (!isCurrent) return;
    this.filled = text;
    this.suggest(key);
  }
}
