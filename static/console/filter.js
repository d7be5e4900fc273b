/** A text by which a list is filtered, with the number of what is shown. */

import { copy, write } from "./dom.js";

/** Whether a text has all words of a filter, in lower or upper case. */
export const fits = (words, text) => words.every((word) => text.includes(word));

export class Filter {
  /** `label` is its accessible name. `onChange(words)` is called with the words typed, in lower case. */
  constructor(label, onChange) {
    this.element = copy("filter");
    this.input = this.element.querySelector("input");
    this.input.ariaLabel = this.input.title = label;
    this.input.addEventListener("input", () => onChange(this.words));
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.input.value) return;
      event.preventDefault();
      this.input.value = "";
      onChange(this.words);
    });
  }

  get words() {
    return this.input.value.toLowerCase().split(/\s+/).filter(Boolean);
  }

  /** Show how many of all are shown. */
  count(shown, all) {
    write(this.element.querySelector("output"), this.words.length ? `${shown} of ${all}` : "");
  }
}
