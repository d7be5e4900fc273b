/** One module in a list: what it is and does, its parameters, what it uses of the machine, how to steer it. */

import { arrange, copy, write } from "./dom.js";
import { Form } from "./forms.js";
import { forget, isSeen, paint, watch } from "./painter.js";
import { Parameter } from "./parameter.js";
import { Plot } from "./plot.js";

const LABELS = { up: "Move up", down: "Move down", remove: "Remove" };
const MANY = 200; // parameters that are shown
const OUTPUT = 2000; // ms between two looks at the output
const USAGE = { width: 56, ink: "--control", span: [0, 10] }; // from nothing on; less than 10 % looks like little

const progressFirst = (a, b) => (b === "progress") - (a === "progress") || (a < b ? -1 : 1);
const percent = (value) => `${Math.round(value)} %`;
const megabytes = (value) => `${(value / 1e6).toFixed(value < 1e7 ? 1 : 0)} MB`;

export class Row {
  /**
   * `actions` is {name: function(row)}, a button each; `ask(cmd, args, now)` asks the service, by a
   * promise; `tell` is the command by which a module like this is told something.
   */
  constructor(uid, { actions, ask, tell }) {
    this.uid = uid;
    this.ask = ask;
    this.tell = tell;
    this.element = copy("module");
    this.parameters = new Map();
    this.buttons = new Map();
    this.enabled = {};
    this.usage = null;
    for (const [name, action] of Object.entries(actions)) {
      const button = copy(name);
      button.addEventListener("click", (event) => button.ariaDisabled !== "true" && action(this, event));
      // A key that is held down does a thing once: the focus may be at the next row by then.
      button.addEventListener("keydown", (event) => event.repeat && event.key === "Enter" && event.preventDefault());
      this.buttons.set(name, button);
      this.part("actions").append(button);
    }
    this.part("uid").textContent = uid.slice(0, 8);
    this.part("uid").title = uid;
    this.plots = { cpu: new Plot("CPU", percent, USAGE), memory: new Plot("memory", megabytes, USAGE) };
    for (const [name, plot] of Object.entries(this.plots)) this.part(name).append(plot.element);
    const more = this.part("more");
    more.addEventListener("toggle", () => more.open ? this.open() : clearInterval(this.timer));
    watch(this);
  }

  part(name) {
    return this.element.querySelector("." + name);
  }

  /** Has the row show this module, in one of the next frames. */
  take(module) {
    if (module === this.module) return;
    const { type } = this;
    this.module = module;
    this.type = module.type;
    if (type === this.type) return paint(this);
    // New: it takes its place at once.
    write(this.part("type"), this.type);
    const who = `${this.type} ${this.part("uid").textContent}`;
    for (const [name, button] of this.buttons) {
      button.title = LABELS[name];
      button.ariaLabel = `${LABELS[name]} ${who}`;
    }
    this.part("more").firstElementChild.ariaLabel = `Tell, output of ${who}`;
    paint(this);
  }

  /** Has it show what its processes use: CPU in percent of one core, memory in bytes. */
  measure(usage) {
    this.usage = usage;
    for (const [name, plot] of Object.entries(this.plots)) plot.add(usage[name]);
    if (isSeen(this)) paint(this);
  }

  show() {
    const { state, parameters } = this.module;
    write(this.part("state"), state);
    this.element.dataset.state = state;
    const all = Object.keys(parameters), names = all.length > MANY ? all.sort(progressFirst).slice(0, MANY) : all;
    const wanted = new Set(names);
    let changed = false;
    for (const name of this.parameters.keys()) if (!wanted.has(name)) changed = this.parameters.delete(name);
    for (const name of names) {
      if (!this.parameters.has(name)) changed = this.parameters.set(name, new Parameter(name));
      this.parameters.get(name).show(parameters[name]);
    }
    if (changed)
      arrange(this.part("parameters"), names.sort(progressFirst).map((name) => this.parameters.get(name).element));
    write(this.part("rest"), all.length > MANY ? `and ${all.length - MANY} more parameters` : "");
    this.showUsage();
  }

  showUsage() {
    const { usage } = this;
    this.part("usage").hidden = !usage;
    if (!usage) return;
    for (const [name, text] of [["cpu", `${percent(usage.cpu)} CPU`], ["memory", megabytes(usage.memory)]]) {
      write(this.part(name).firstElementChild, text);
      this.plots[name].draw();
    }
  }

  /** A button that can do nothing keeps its place and the focus. */
  enable(name, enabled) {
    const button = this.buttons.get(name);
    if (!button || this.enabled[name] === enabled) return;
    this.enabled[name] = enabled;
    button.ariaDisabled = String(!enabled);
  }

  open() {
    this.form ||= this.addForm();
    this.look();
    clearInterval(this.timer);
    this.timer = setInterval(() => this.look(), OUTPUT);
  }

  addForm() {
    const tell = (cmd, args) => this.ask(this.tell, { uid: this.uid, cmd, args }, true);
    const label = `Tell ${this.type} ${this.part("uid").textContent}`;
    const form = new Form("command", "Tell", label, `tell ${this.type}`, tell);
    this.part("tail").before(form.element);
    return form;
  }

  /** Show the last lines of its output, the end of them if they were not scrolled back. */
  async look() {
    if (document.hidden) return;
    let lines;
    try {
      lines = await this.ask("output", { uid: this.uid });
    } catch {
      return; // it has ended, or is out of reach: what was seen last stays
    }
    const output = this.part("tail");
    const atEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - 2;
    write(output, lines.join("\n") || "No output yet.");
    if (atEnd) output.scrollTop = output.scrollHeight;
  }

  close() {
    clearInterval(this.timer);
    forget(this);
  }
}
