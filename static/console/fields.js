/** The fields of an object: one for each property that its schema describes. */

import { parseArguments } from "./arguments.js";
import { KINDS } from "./controls.js";
import { copy, make, toJSON, write, writeProse } from "./dom.js";
import { flatten, isSecret, kindOf } from "./schema.js";

let count = 0;

/** One value: its label, control, help, and what is wrong with it. */
class Field {
  constructor(name, schema, root, isRequired, depth) {
    const id = `field-${count++}`, flat = flatten(schema, root);
    const kind = kindOf(flat, root, depth), options = { flat, root, isRequired, depth, id };
    this.name = name;
    this.isSecret = isSecret(flat, root);
    this.control = kind === "group" ? group(options) : KINDS[kind](options);
    this.element = this.control.isGroup ? copy("field-group") : copy("field");
    Object.assign(this.element.dataset, { kind, name });
    this.part("name").textContent = flat.title || name;
    this.part("unit").textContent = flat.unit ? `(${flat.unit})` : "";
    this.part("mark").textContent = isRequired && kind !== "switch" ? "*" : "";
    const { element } = this.control, help = this.part("help"), error = this.part("error");
    writeProse(help, flat.description || "");
    help.id = `${id}-help`;
    error.id = `${id}-error`;
    (this.control.isGroup ? this.element : element).setAttribute("aria-describedby", `${help.id} ${error.id}`);
    if (this.control.isGroup) help.after(element);
    else {
      element.id = this.part("label").htmlFor = id;
      const mayBeEmpty = flat.nullable || flat.minLength === 0 || kind === "switch" || (kind === "lines" && !flat.minItems);
      element.required = isRequired && !mayBeEmpty;
      if (flat.examples?.length && element.tagName === "INPUT" && element.type !== "password") this.suggest(flat.examples);
      this.part("label").after(element);
    }
    if ("default" in flat && (flat.default !== null || !flat.nullable)) this.write(flat.default);
  }

  part(name) {
    return this.element.querySelector(`:scope > .${name}, :scope > .label > .${name}`);
  }

  suggest(examples) {
    const list = make("datalist", ""), { element } = this.control;
    list.id = `${element.id}-examples`;
    list.append(...examples.map((each) => new Option(String(each), String(each))));
    element.setAttribute("list", list.id);
    this.element.append(list);
  }

  /** Its value, undefined if it is left out. A field whose value is not valid shows why and adds itself to `invalid`. */
  read(invalid) {
    try {
      const { validationMessage } = this.control.element; // the browser's own check, in its language
      if (validationMessage) throw new Error(validationMessage);
      const value = this.control.read(invalid);
      this.fail("");
      return value;
    } catch (error) {
      this.fail(error.message);
      invalid.push(this);
    }
  }

  /** Set its value, if it is one that the control can show. */
  write(value) {
    try {
      this.control.write(value);
    } catch {
      // of another type than the schema says, such as from an earlier description
    }
  }

  fail(message) {
    write(this.part("error"), message);
    if (!this.control.isGroup) this.control.element.ariaInvalid = message ? "true" : "false";
  }

  focus() {
    const { element } = this.control;
    (this.control.isGroup ? element.querySelector("input, select, textarea") : element)?.focus();
  }
}

/** The control of an object that is a part of another one. It is left out if it is optional and untouched. */
function group({ flat, root, isRequired, depth }) {
  const fields = new Fields(flat, root, depth + 1);
  let isGiven = isRequired;
  return {
    element: fields.element,
    fields,
    isGroup: true,
    read: (invalid) => isGiven || fields.isChanged ? fields.read(invalid) : fields.forgetProblems(),
    write: (value) => {
      fields.write(value);
      isGiven = true;
    },
  };
}

export class Fields {
  constructor(schema, root = schema, depth = 0) {
    const { properties = {}, required = [], additionalProperties = false } = schema;
    this.element = make("div", "fields");
    this.fields = Object.entries(properties)
      .filter(([, each]) => !each?.readOnly)
      .map(([name, each]) => new Field(name, each, root, required.includes(name), depth));
    this.others = null; // the field of arguments that are not described, if these are allowed
    this.element.append(...this.fields.map((field) => field.element));
    if (additionalProperties && !depth) this.addOthers();
    this.defaults = this.read([]);
    this.untouched = this.snapshot();
    this.forgetProblems();
  }

  addOthers() {
    this.others = new Field("", { title: this.fields.length ? "Other arguments" : "Arguments" }, {}, false, 0);
    const { control } = this.others, { element } = control;
    element.placeholder = "e.g. seconds=30";
    control.read = () => parseArguments(element.value);
    control.write = (value) => { element.value = toJSON(value); };
    this.others.element.classList.add("others");
    this.element.append(this.others.element);
  }

  /** The values by name. Fields whose value is not valid are added to `invalid`. */
  read(invalid, fields = this.fields) {
    const values = fields.map((field) => [field.name, field.read(invalid)]);
    const args = Object.fromEntries(values.filter(([, value]) => value !== undefined));
    return { ...this.others?.read(invalid), ...args };
  }

  /** The values that differ from the defaults; with `isPublic`, without secrets. */
  readChanges(isPublic = false) {
    const args = this.read([], this.fields.filter((field) => !(isPublic && field.isSecret)));
    const isChanged = ([name, value]) => toJSON(value) !== toJSON(this.defaults[name]);
    return Object.fromEntries(Object.entries(args).filter(isChanged));
  }

  /** The values and problems, to compare. */
  snapshot() {
    const invalid = [], args = this.read(invalid);
    return toJSON([args, invalid.map((field) => field.part("error").textContent)]);
  }

  get isChanged() {
    return this.snapshot() !== this.untouched;
  }

  /** The arguments, and what to remember of them as text. Without `args`, the first field that is not valid has the focus. */
  readAll() {
    const invalid = [], args = this.read(invalid);
    if (!invalid.length) return { args, text: toJSON(this.readChanges(true)) };
    invalid[0].focus();
    return {};
  }

  /** Set the values of an object; fields of others stay as they are. */
  write(args) {
    const others = { ...args };
    for (const field of this.fields) {
      if (!Object.hasOwn(args, field.name)) continue;
      field.write(args[field.name]);
      delete others[field.name];
    }
    if (this.others && Object.keys(others).length) this.others.write(others);
  }

  /** Empty the fields of secrets. */
  forgetSecrets() {
    for (const { control, isSecret } of this.fields)
      if (control.fields) control.fields.forgetSecrets();
      else if (isSecret) control.element.value = "";
  }

  get isShown() {
    return this.element.isConnected;
  }

  /** The name of the field that has the focus. */
  get focused() {
    return this.fields.find(({ element }) => element.contains(document.activeElement))?.name;
  }

  focus(name) {
    this.fields.find((field) => field.name === name)?.focus();
  }

  forgetProblems() {
    for (const field of this.fields) field.fail("");
  }

  /** Show what is wrong with the value at a path beside its field. Returns that field, if there is one. */
  showProblem(path, message) {
    const isIn = ({ name }) => path === name || (path.startsWith(name) && ".[".includes(path[name.length]));
    const field = this.fields.filter(isIn).sort((a, b) => b.name.length - a.name.length)[0];
    if (!field) return null;
    const rest = path.slice(field.name.length);
    const nested = field.control.fields?.showProblem(rest.slice(1), message);
    if (nested) return nested;
    field.fail(rest ? `${rest.replace(/^\./, "")}: ${message}` : message);
    return field;
  }
}
