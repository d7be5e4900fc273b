/** The form that adds items: in view however long the list is, and folded away on a small screen. */

import { announce, copy, write } from "./dom.js";
import { Form } from "./forms.js";
import { rememberFolded, wasFolded } from "./memory.js";
import { Options } from "./options.js";

const SMALL = matchMedia("(max-width: 40rem)");

export class Adder {
  /**
   * `name` is that of the service, `ask(cmd, args, now)` sends it a command, `describe(type)` returns the description
   * of a type, `command()` that of `add`, and `modules()` the items that there are.
   */
  constructor(name, { ask, describe, command, modules }) {
    this.name = name;
    this.element = copy("adder");
    this.button = this.element.querySelector(".fold");
    const send = async (type, args, options) => {
      await ask("add", { type, args, ...options }, true);
      announce(`${type} added`);
    };
    this.form = new Form("type-form", "Add", `Add in ${name}`, `${name} add`, send, describe);
    this.options = new Options(command, modules);
    this.form.addOptions(this.options);
    this.element.append(this.form.element);
    this.button.addEventListener("click", () => {
      this.fold(!this.isFolded);
      rememberFolded(`${name} add`, this.isFolded);
      if (!this.isFolded) this.form.element.querySelector("select, input, textarea")?.focus();
    });
    this.fold(wasFolded(`${name} add`) ?? SMALL.matches);
    this.setNames([]);
  }

  get isFolded() {
    return "folded" in this.element.dataset;
  }

  fold(isFolded) {
    this.element.toggleAttribute("data-folded", isFolded);
    this.button.ariaExpanded = String(!isFolded);
    write(this.button.querySelector("span"), isFolded ? "Add" : "Close");
    this.button.ariaLabel = isFolded ? `Add to ${this.name}` : `Close the form of ${this.name}`;
  }

  /** Set the types to choose from. Without any there is nothing to see. */
  setNames(names) {
    this.form.setNames(names);
    this.element.hidden = !names.length;
  }

  refresh() {
    this.form.refresh();
    this.options.refresh();
  }
}
