/** Forms that send a command with arguments, and remember the arguments used last. */

import { parseArguments } from "./arguments.js";
import { announce, copy, toJSON, write, writeProse } from "./dom.js";
import { Fields } from "./fields.js";
import { remember, remembered } from "./memory.js";
import { isDescribed } from "./schema.js";
import { TextBox } from "./textbox.js";

const MAX_ANSWER = 100000; // characters shown
/** What a service says of an argument: its path, such as `colours[2].red`, and what is wrong with it. */
const OF_ARGUMENT = /argument `([^`]+)`:? (.*)$/s;
let count = 0;

/**
 * A form made from the template `type-form` (a type is chosen from a list), `command-form` (a command is typed)
 * or `tell-form` (the command is fixed).
 *
 * Arguments that are described have a field each; for others there is a box for text. `send(name, args)`
 * returns a promise. A form with a place for it shows its value as the answer.
 */
export class Form {
  /**
   * `caption` is the text of the button, `label` the form's accessible name, `scope` the key of what it remembers.
   * `describe(name)` returns {title, description, args}, without `args` if the arguments are not described.
   */
  constructor(id, caption, label, scope, send, describe = () => ({})) {
    const number = count++;
    this.scope = scope;
    this.send = send;
    this.describe = describe;
    this.element = copy(id);
    this.element.ariaLabel = label;
    this.choice = this.element.elements.choice;
    this.box = new TextBox(this.element.elements.args);
    this.about = this.element.querySelector(".about");
    this.problem = this.element.querySelector(".problem");
    this.answer = this.element.querySelector(".answer");
    this.fields = null; // the Fields of the chosen name, if its arguments are described
    this.options = null; // Options beside the arguments; what they say is the third argument of `send`
    this.made = new Map(); // by name: its Fields, and the schema they were made from, as JSON
    this.element.querySelector(".send").textContent = caption;
    this.problem.id = `problem-${number}`;
    this.box.input.setAttribute("aria-describedby", this.problem.id);
    for (const list of this.element.querySelectorAll("datalist")) {
      list.id = `${list.className}-${number}`;
      this.element.elements[list.className].setAttribute("list", list.id);
    }
    this.choice.addEventListener("change", () => {
      write(this.problem, "");
      this.refresh();
      this.box.recall(this.key);
    });
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  /** Set the types to choose from, or the commands to suggest. */
  setNames(names) {
    const options = names.map((name) => new Option(name, name)); // the text alone would lose whitespace
    if (this.choice.list) this.choice.list.replaceChildren(...options);
    else {
      const chosen = this.choice.value;
      this.choice.replaceChildren(...options);
      if (names.includes(chosen)) this.choice.value = chosen;
      this.element.hidden = names.length === 0;
    }
    this.refresh();
    if (!this.box.input.value) this.box.recall(this.key);
  }

  /** Offer what items can be added with beside their arguments. */
  addOptions(options) {
    this.options = options;
    this.element.querySelector(".send").before(options.element);
  }

  get key() {
    return `${this.scope} ${this.choice.value}`;
  }

  /** Show the fields, or the box, for the chosen name as it is described now. What was entered stays. */
  refresh() {
    const { args, description = "" } = this.describe(this.choice.value), old = this.fields;
    if (this.about) writeProse(this.about, description);
    for (const option of this.choice.options || []) option.text = this.describe(option.value).title || option.value;
    this.fields = isDescribed(args) ? this.fieldsFor(this.choice.value, args) : null;
    if (this.fields === old) return;
    const focused = old?.focused;
    old?.element.remove();
    this.box.label.hidden = Boolean(this.fields);
    if (this.fields) this.box.label.before(this.fields.element);
    if (focused) this.fields?.focus(focused);
  }

  fieldsFor(name, args) {
    const schema = toJSON(args), old = this.made.get(name);
    if (old?.schema === schema) return old.fields;
    let fields;
    try {
      fields = new Fields(args);
    } catch {
      return null; // a service of another kind may answer `describe` with what is no schema
    }
    fields.write(old ? old.fields.readChanges() : this.recallArguments());
    this.made.set(name, { schema, fields });
    return fields;
  }

  recallArguments() {
    try {
      return parseArguments(remembered(this.key)[0] || "");
    } catch {
      return {};
    }
  }

  show(answer) {
    write(this.answer, answer.length > MAX_ANSWER ? `${answer.slice(0, MAX_ANSWER)}…` : answer);
    const lines = answer.split("\n").length;
    announce(lines > 1 ? `Answer with ${lines} lines` : `Answer: ${answer}`);
  }

  async submit() {
    const { key, fields } = this;
    write(this.problem, "");
    try {
      const { args, text } = (fields || this.box).readAll();
      const more = this.options?.read();
      if (!args || this.options && !more) return; // the fields show what is wrong
      const answer = await this.send(this.choice.value, args, more);
      this.options?.renew();
      if (this.answer) this.show(toJSON(answer, 2) ?? "null");
      if (fields) {
        remember(key, text);
        fields.forgetSecrets();
      } else this.box.remember(key, text, key === this.key);
    } catch ({ message }) {
      if (this.answer) write(this.answer, "");
      const [, path, problem] = message.match(OF_ARGUMENT) || [];
      const own = path && fields?.isShown && fields.showProblem(path, problem);
      const field = own || path && this.options?.showProblem(path, problem);
      if (field) field.focus();
      else write(this.problem, message);
    }
  }
}
