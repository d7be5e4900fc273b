/** One module in a list: its label, type and state, parameters, resource usage, and controls. */

import { Commands } from "./commands.js";
import { arrange, copy, write } from "./dom.js";
import { Form } from "./forms.js";
import { isVisible, paint, unwatch, watch } from "./painter.js";
import { Parameter } from "./parameter.js";
import { Plot } from "./plot.js";
import { termsOf, turnOf, waitOf } from "./terms.js";
import { Tools } from "./tools.js";

const LABELS = { up: "Move up", down: "Move down", remove: "Remove" };
const MAX_PARAMETERS = 200; // shown
const OUTPUT_INTERVAL = 2000; // ms between polls of the output
const USAGE_PLOT = { width: 56, ink: "--control", span: [0, 10] }; // starts at 0; less than 10 % looks small

const progressFirst = (a, b) => (b === "progress") - (a === "progress") || (a < b ? -1 : 1);
const percent = (value) => `${Math.round(value)} %`;
const megabytes = (value) => `${(value / 1e6).toFixed(value < 1e7 ? 1 : 0)} MB`;

export class Row {
  /**
   * `actions` is {name: function(row)}, each with a button. `ask(cmd, args, now)` sends a command to the
   * service and returns a promise. `tell` is the name of the command that reaches this module.
   * `describe(type)` returns the description of a type, {} if there is none. `web(uid)` is the URL of a module's own
   * web server. `tools` are the options of its Tools; without them it has none.
   */
  constructor(uid, { actions, ask, tell, web = () => "", describe = () => ({}), tools = null }) {
    this.uid = uid;
    this.ask = ask;
    this.tell = tell;
    this.describe = describe;
    this.toolOptions = tools;
    this.actions = actions;
    this.element = copy("module");
    this.parameters = new Map();
    this.buttons = new Map();
    this.enabled = {};
    this.usage = null;
    this.turn = "";
    if (actions.remove) this.part("actions").append(this.newButton("remove"));
    this.part("uid").textContent = uid.slice(0, 8);
    this.part("uid").title = uid;
    this.part("open").href = web(uid);
    this.plots = { cpu: new Plot("CPU", percent, USAGE_PLOT), memory: new Plot("memory", megabytes, USAGE_PLOT) };
    for (const [name, plot] of Object.entries(this.plots)) this.part(name).append(plot.element);
    const more = this.part("more");
    more.addEventListener("toggle", () => more.open ? this.open() : clearInterval(this.timer));
    watch(this);
  }

  part(name) {
    return this.element.querySelector("." + name);
  }

  newButton(name) {
    const button = copy(name);
    button.addEventListener("click", (event) => button.ariaDisabled !== "true" && this.actions[name](this, event));
    // Holding a key down acts once: the focus may be on the next row by then.
    button.addEventListener("keydown", (event) => event.repeat && event.key === "Enter" && event.preventDefault());
    this.buttons.set(name, button);
    return button;
  }

  /** Show what moves it to another place, or hide it. */
  setMovable(isMovable) {
    if (isMovable && !this.buttons.has("up")) {
      this.part("actions").prepend(this.newButton("up"), this.newButton("down"));
      if (this.module) this.showTitle();
    }
    for (const name of ["up", "down"]) if (this.buttons.has(name)) this.buttons.get(name).hidden = !isMovable;
    this.part("grip").hidden = !isMovable;
  }

  /** Show this state of the module, in one of the next frames. */
  update(module) {
    if (module === this.module) return;
    const { type, title } = this;
    this.module = module;
    this.type = module.type;
    this.title = module.label || module.type;
    if (type !== this.type || title !== this.title) this.showTitle(); // at once, so that its size hardly changes later
    if (type !== this.type) this.showCommands();
    paint(this);
  }

  showTitle() {
    write(this.part("title"), this.module.label || "");
    write(this.part("type"), this.type);
    this.name = `${this.title} ${this.part("uid").textContent}`;
    for (const [action, button] of this.buttons) {
      button.title = LABELS[action];
      button.ariaLabel = `${LABELS[action]} ${this.name}`;
    }
    this.part("open").ariaLabel = `Open ${this.name}`;
    this.part("more").firstElementChild.ariaLabel = `Commands and output of ${this.name}`;
  }

  /** Buttons for the commands that its type describes. */
  showCommands() {
    const { commands = {} } = this.describe(this.type);
    if (!this.commands && !Object.keys(commands).length) return;
    if (!this.commands) {
      this.commands = new Commands(this.name, `tell ${this.type}`, (cmd, args) => this.send(cmd, args));
      this.part("more").before(this.commands.element);
    }
    this.commands.show(commands);
  }

  /** Show what its type describes now. */
  redescribe() {
    if (!this.module) return;
    this.parameters.clear(); // they are made anew
    this.showCommands();
    paint(this);
  }

  /** Send a command to this module. */
  send(cmd, args) {
    return this.ask(this.tell, { uid: this.uid, cmd, args }, true);
  }

  /** Show the usage of its processes: CPU in percent of one core, memory in bytes. */
  addUsage(usage) {
    this.usage = usage;
    for (const [name, plot] of Object.entries(this.plots)) plot.add(usage[name]);
    if (isVisible(this)) paint(this);
  }

  /** Show when its turn comes: {place, estimate}, each if it is known. */
  setTurn(turn) {
    const text = turnOf(turn);
    if (text === this.turn) return;
    this.turn = text;
    paint(this);
  }

  show() {
    const { state, held, web, parameters } = this.module, described = this.describe(this.type).parameters || {};
    const order = new Map(Object.keys(described).map((name, place) => [name, place]));
    const place = (name) => order.get(name) ?? order.size;
    const inOrder = (a, b) => place(a) - place(b) || progressFirst(a, b);
    const states = [state, held && state !== "held" && "held", web !== "ready" && web];
    write(this.part("state"), states.filter(Boolean).join(", "));
    this.part("state").title = held || "";
    this.part("open").hidden = web !== "ready";
    write(this.part("waits"), waitOf(this.module));
    write(this.part("terms"), [state !== "playing" && this.turn, termsOf(this.module)].filter(Boolean).join(" · "));
    this.tools?.show(this.module);
    this.element.dataset.state = state;
    const all = Object.keys(parameters);
    const names = all.length > MAX_PARAMETERS ? all.sort(inOrder).slice(0, MAX_PARAMETERS) : all;
    const wanted = new Set(names);
    let changed = false;
    for (const name of this.parameters.keys()) if (!wanted.has(name)) changed = this.parameters.delete(name);
    for (const name of names) {
      if (!this.parameters.has(name)) changed = this.parameters.set(name, new Parameter(name, described[name]));
      this.parameters.get(name).show(parameters[name]);
    }
    if (changed)
      arrange(this.part("parameters"), names.sort(inOrder).map((name) => this.parameters.get(name).element));
    const hidden = all.length - names.length;
    write(this.part("not-shown"), hidden ? `and ${hidden} more parameters` : "");
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

  /** Enable or disable a button. A disabled one keeps its place and the focus. */
  enable(name, enabled) {
    const button = this.buttons.get(name);
    if (!button || this.enabled[name] === enabled) return;
    this.enabled[name] = enabled;
    button.ariaDisabled = String(!enabled);
  }

  open() {
    this.form ||= this.addForm();
    if (this.toolOptions && !this.tools) {
      this.tools = new Tools(this, this.toolOptions);
      this.tools.show(this.module);
      this.part("more").firstElementChild.after(this.tools.element);
    }
    this.pollOutput();
    clearInterval(this.timer);
    this.timer = setInterval(() => this.pollOutput(), OUTPUT_INTERVAL);
  }

  addForm() {
    const send = (cmd, args) => this.send(cmd, args);
    const form = new Form("command-form", "Tell", `Tell ${this.name}`, `tell ${this.type}`, send);
    this.part("tail").before(form.element);
    return form;
  }

  /** Show the last lines of its output, and scroll to the end unless the user has scrolled back. */
  async pollOutput() {
    if (document.hidden) return;
    let lines;
    try {
      lines = await this.ask("output", { uid: this.uid });
    } catch {
      return; // it has ended or is unreachable: keep the output shown last
    }
    const output = this.part("tail");
    const atEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - 2;
    write(output, lines.join("\n") || "No output yet.");
    if (atEnd) output.scrollTop = output.scrollHeight;
  }

  close() {
    clearInterval(this.timer);
    this.commands?.clear();
    unwatch(this);
  }
}
