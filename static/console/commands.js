/** Buttons for the commands that a module or service describes. One with arguments opens a form. */

import { announce, arrange, copy, make, toJSON, write } from "./dom.js";
import { Form } from "./forms.js";
import { readable } from "./parameter.js";
import { isDescribed } from "./schema.js";

const SHOWN = 12e3; // ms that an answer is shown
const MAX_ANSWER = 120; // characters shown of an answer

export class Commands {
  /**
   * `label` names what gets the commands; `send(cmd, args)` returns a promise of the answer; `scope` is the key of the
   * arguments that are remembered.
   */
  constructor(label, scope, send) {
    Object.assign(this, { label, scope, send });
    this.element = copy("commands");
    this.element.ariaLabel = `Commands of ${label}`;
    this.result = this.element.querySelector(".result");
    this.buttons = this.element.querySelector(".buttons");
    this.described = {};
    this.parts = new Map(); // by command: its button, and its form if that was opened
  }

  /** Show the commands of {name: {description, args}}, which takes the place of the last one. */
  show(described) {
    if (toJSON(described) === toJSON(this.described)) return;
    this.described = described;
    const names = Object.keys(described);
    for (const name of this.parts.keys()) if (!names.includes(name)) this.remove(name);
    for (const name of names) if (!this.parts.has(name)) this.parts.set(name, { button: this.newButton(name), form: null });
    for (const [name, { button, form }] of this.parts) {
      const takesArguments = this.takesArguments(name);
      button.title = described[name].description || "";
      button.dataset.changes = String(described[name].changes ?? true);
      write(button, takesArguments ? `${name}…` : name);
      button.ariaExpanded = takesArguments ? String(Boolean(form && !form.element.hidden)) : null;
      if (form) takesArguments ? form.refresh() : this.close(name);
    }
    arrange(this.buttons, [...names.map((name) => this.parts.get(name).button), this.result]);
    this.element.hidden = !names.length;
  }

  takesArguments(name) {
    const { args } = this.described[name];
    return !isDescribed(args) || Object.keys(args.properties || {}).length > 0 || Boolean(args.additionalProperties);
  }

  newButton(name) {
    const button = make("button", "command");
    button.type = "button";
    button.addEventListener("click", () => {
      if (this.takesArguments(name)) this.toggle(name);
      else if (button.ariaDisabled !== "true") this.run(name, button);
    });
    return button;
  }

  /** Send a command without arguments. */
  async run(name, button) {
    button.ariaDisabled = "true";
    try {
      this.showResult(name, await this.send(name, {}));
    } catch ({ message }) {
      this.showResult(name, message, true);
    }
    button.ariaDisabled = "false";
  }

  /** Show or hide the form of a command. */
  toggle(name) {
    const part = this.parts.get(name), isShown = part.form && !part.form.element.hidden;
    for (const each of this.parts.keys()) this.close(each);
    if (isShown) return;
    part.form ||= this.newForm(name);
    part.form.element.hidden = false;
    part.button.ariaExpanded = "true";
    part.form.element.querySelector("input:not([type=hidden]), select, textarea")?.focus();
  }

  close(name) {
    const { button, form } = this.parts.get(name);
    if (!form) return;
    form.element.hidden = true;
    button.ariaExpanded = "false";
  }

  remove(name) {
    this.parts.get(name).form?.element.remove();
    this.parts.delete(name);
  }

  newForm(name) {
    const send = async (cmd, args) => this.showResult(name, await this.send(name, args));
    const form = new Form("tell-form", name, `${name}: ${this.label}`, this.scope, send, () => this.described[name] || {});
    form.choice.value = name;
    form.refresh();
    this.element.append(form.element);
    return form;
  }

  /** Show an answer for a while. */
  showResult(name, answer, isProblem = false) {
    const text = answer === null || answer === undefined ? "done" : readable(answer);
    write(this.result, `${name}: ${text.length > MAX_ANSWER ? `${text.slice(0, MAX_ANSWER)}…` : text}`);
    announce(this.result.textContent);
    this.result.classList.toggle("failed", isProblem);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => write(this.result, ""), SHOWN);
  }

  clear() {
    clearTimeout(this.timer);
  }
}
