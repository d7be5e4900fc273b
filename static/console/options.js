/** What an item can be added with besides its arguments: label, place, times and so on, as `describe` tells. */

import { copy, write } from "./dom.js";
import { Fields } from "./fields.js";
import { titleOf } from "./title.js";

const INSTANT = { type: "string", format: "date-time" };
const MAX_OFFERED = 30; // items that are offered to wait for; the uids of others can be typed
/** The options in the order of their fields, and what their schemas do not say to people. */
const FIELDS = {
  label: { title: "Label", type: "string" },
  priority: { title: "Priority" },
  at: { title: "Place", description: "1 is the first. Empty: where it belongs.", type: "integer", minimum: 1 },
  not_before: { title: "Not before", description: "When it may start.", ...INSTANT },
  expires: { title: "Expires", description: "When it is too late to start.", ...INSTANT },
  after: { title: "After", description: "These have to be done before it starts." },
  batch: { title: "Batch", type: "string" },
  window: { title: "Time of day" },
};

export class Options {
  /** `command()` is the description of `add`; `modules()` are the items that there are. */
  constructor(command, modules) {
    Object.assign(this, { command, modules });
    this.element = copy("options");
    this.button = this.element.querySelector("button");
    this.place = this.element.querySelector("div");
    this.fields = null; // while they are closed, nothing but the arguments is sent
    this.button.addEventListener("click", () => this.fields ? this.close() : this.open(true));
  }

  /** Show whether there are any. */
  refresh() {
    this.element.hidden = !Object.keys(FIELDS).some((name) => this.properties[name]);
  }

  get properties() {
    return this.command().args?.properties || {};
  }

  open(takesFocus = false) {
    const names = Object.keys(FIELDS).filter((name) => this.properties[name]);
    const properties = Object.fromEntries(names.map((name) => [name, this.schemaOf(name)]));
    this.fields = new Fields({ properties, $defs: this.command().args.$defs });
    this.place.replaceChildren(this.fields.element);
    this.show(true);
    if (takesFocus) this.fields.focus(names[0]);
  }

  schemaOf(name) {
    const { anyOf, default: none, ...known } = this.properties[name], own = FIELDS[name];
    if (own.type) return { ...known, ...own };
    if (name !== "after") return { ...this.properties[name], ...own };
    const others = this.modules().slice(-MAX_OFFERED);
    const items = { oneOf: others.map((each) => ({ const: each.uid, title: `${titleOf(each)} (${each.uid.slice(0, 8)})` })) };
    return { ...known, ...own, ...others.length && { items, uniqueItems: true } };
  }

  close() {
    this.fields = null;
    this.place.replaceChildren();
    this.show(false);
  }

  show(isOpen) {
    this.button.ariaExpanded = String(isOpen);
    write(this.button, isOpen ? "Fewer options" : "More options");
  }

  /** What is chosen beside the arguments; undefined if the fields show that something is wrong. */
  read() {
    if (!this.fields) return {};
    const { args } = this.fields.readAll();
    if (!args) return undefined;
    const chosen = this.fields.readChanges();
    return { ...chosen, ...chosen.at && { at: chosen.at - 1 } }; // which the service counts from 0
  }

  /** Begin anew, with the items that there are now. */
  renew() {
    if (this.fields) this.open();
  }

  /** Show what is wrong beside its field. Returns that field, if there is one. */
  showProblem(path, message) {
    return this.fields?.showProblem(path, message) || null;
  }
}
