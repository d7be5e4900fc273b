/** One item in a list: a line with its state, label and what it does or waits for, and its details on demand. */

import { copy, write } from "./dom.js";
import { Details, megabytes, percent } from "./details.js";
import { glanceOf, progressOf } from "./glance.js";
import { isVisible, paint, unwatch, watch } from "./painter.js";
import { Trace } from "./plot.js";
import { isRunning, showState, whyOf, wordOf } from "./state.js";
import { termsOf, turnOf } from "./terms.js";
import { titleOf } from "./title.js";

const LABELS = { up: "Move up", down: "Move down", remove: "Remove" };
const NOTHING = {};

export class Row {
  /**
   * `actions` is {name: function(row, event)}, each with a button. `ask(cmd, args, now)` sends a command to the
   * service and returns a promise. `tell` is the name of the command that reaches this module.
   * `describe(type)` returns the description of a type, {} if there is none. `web(uid)` is the URL of a module's own
   * web server. `tools` are the options of its Tools; without them it has none. `line` is {isPaused, isBackground}, of the whole list.
   */
  constructor(uid, { actions, ask, tell, web = () => "", describe = () => NOTHING, tools = null, line = NOTHING }) {
    Object.assign(this, { uid, actions, describe, line });
    this.options = { ask, tell, describe, tools };
    this.element = copy("module");
    this.buttons = new Map();
    this.enabled = {};
    this.traces = { cpu: new Trace(), memory: new Trace() };
    this.numbers = new Map(); // by parameter: the Trace of its values
    this.usage = this.details = null;
    this.turn = this.why = this.word = "";
    this.parts = {}; // elements of the line
    for (const name of ["grip", "toggle", "state", "title", "type", "uid", "open", "progress", "glance", "waits", "terms", "owner", "load", "actions", "undo"])
      this.parts[name] = this.element.querySelector("." + name);
    const { toggle, undo, open } = this.parts;
    if (actions.remove) this.parts.actions.append(this.newButton("remove"));
    write(this.parts.uid, uid.slice(0, 8));
    this.parts.uid.title = uid;
    open.href = web(uid);
    toggle.addEventListener("click", () => this.toggle());
    this.element.querySelector(".identity").addEventListener("click", ({ target, detail }) => {
      if (detail === 1 && !target.closest("a") && getSelection().isCollapsed) this.toggle();
    });
    // The second click of a double click was meant for what stood there before.
    undo.querySelector("button").addEventListener("click", ({ detail }) => detail < 2 && this.undo());
    watch(this);
  }

  newButton(name) {
    const button = copy(name);
    button.classList.add(name);
    button.addEventListener("click", (event) => button.ariaDisabled !== "true" && this.actions[name](this, event));
    // Holding a key down acts once: the focus may be on the next row by then.
    button.addEventListener("keydown", (event) => event.repeat && event.key === "Enter" && event.preventDefault());
    this.buttons.set(name, button);
    return button;
  }

  /** Show what moves it to another place, or hide it. */
  setMovable(isMovable) {
    if (isMovable && !this.buttons.has("up")) {
      this.parts.actions.prepend(this.newButton("up"), this.newButton("down"));
      if (this.module) this.showTitle();
    }
    for (const name of ["up", "down"]) if (this.buttons.has(name)) this.buttons.get(name).hidden = !isMovable;
    this.parts.grip.hidden = !isMovable;
  }

  /** Show this state of the module, in one of the next frames. */
  update(module) {
    if (module === this.module) return;
    const { type, title, word } = this;
    this.module = module;
    this.type = module.type;
    this.title = titleOf(module);
    this.word = wordOf(module);
    // At once, so that its size hardly changes later.
    if (type !== this.type || title !== this.title || word !== this.word) this.showTitle();
    if (type !== this.type && this.details) this.details.redescribe();
    paint(this);
  }

  showTitle() {
    write(this.parts.title, this.title);
    this.parts.title.title = this.title;
    write(this.parts.type, this.title === this.type ? "" : this.type);
    this.name = `${this.title} ${this.parts.uid.textContent}`;
    const runs = isRunning(this.module);
    for (const [action, button] of this.buttons) {
      const label = action === "remove" && runs ? "Stop" : LABELS[action];
      button.title = label;
      button.ariaLabel = `${label} ${this.name}`;
    }
    this.buttons.get("remove")?.querySelector("use").setAttribute("href", runs ? "#icon-stop" : "#icon-remove");
    this.parts.open.ariaLabel = `Open ${this.name}`;
    this.parts.toggle.ariaLabel = `Details of ${this.name}`;
    showState(this.parts.state, this.word);
    this.element.dataset.state = this.word;
  }

  /** What a filter looks for, in lower case. */
  get searched() {
    const { label, type, by, uid } = this.module;
    return [label, this.title, type, by, this.word, uid].join(" ").toLowerCase();
  }

  /** Show what its type describes now. */
  redescribe() {
    if (!this.module) return;
    this.details?.redescribe();
    paint(this);
  }

  /** Show the usage of its processes: CPU in percent of one core, memory in bytes. */
  addUsage(usage) {
    this.usage = usage;
    for (const [name, trace] of Object.entries(this.traces)) trace.add(usage[name]);
    if (isVisible(this)) paint(this);
  }

  /** Show when its turn comes: {place, estimate}, each if it is known. */
  setTurn(turn) {
    const text = turnOf(turn);
    if (text === this.turn) return;
    this.turn = text;
    paint(this);
  }

  /** The values of a parameter over time, if it is a number. */
  traceOf(name, value) {
    if (typeof value !== "number" && typeof value !== "bigint") return undefined;
    if (!this.numbers.has(name)) this.numbers.set(name, new Trace());
    return this.numbers.get(name);
  }

  show() {
    const { state, web, by, held, parameters } = this.module, described = this.describe(this.type).parameters || NOTHING;
    const { parts } = this, turn = state === "playing" ? "" : this.turn;
    this.why = whyOf(this.module, this.line);
    const isPlain = turn && this.why === "waits for its turn"; // which its place in line says as well
    parts.open.hidden = web !== "ready";
    parts.state.title = held || "";
    write(parts.waits, isPlain ? "" : this.why);
    write(parts.terms, [turn, termsOf(this.module)].filter(Boolean).join(" · "));
    write(parts.owner, by || "");
    const progress = progressOf(parameters, described), hasBegun = progress > 0 || state === "playing" && progress === 0;
    parts.progress.hidden = !hasBegun;
    if (hasBegun) {
      parts.progress.firstElementChild.value = progress;
      write(parts.progress.lastElementChild, `${Math.floor(100 * progress + 1e-9)} %`); // 0.29 * 100 is less than 29
    }
    write(parts.glance, state === "playing" ? glanceOf(parameters, described, this.title) : "");
    write(parts.load, this.usage ? `${percent(this.usage.cpu)} · ${megabytes(this.usage.memory)}` : "");
    for (const [name, value] of Object.entries(parameters)) this.traceOf(name, value)?.add(Number(value));
    if (this.isOpen) this.details.show();
  }

  /** Enable or disable a button. A disabled one keeps its place and the focus. */
  enable(name, enabled) {
    const button = this.buttons.get(name);
    if (!button || this.enabled[name] === enabled) return;
    this.enabled[name] = enabled;
    button.ariaDisabled = String(!enabled);
  }

  get isOpen() {
    return Boolean(this.details && !this.details.element.hidden);
  }

  /** Show or hide its details. */
  toggle() {
    if (this.isOpen) this.details.close();
    else {
      if (!this.details) {
        this.details = new Details(this, this.options);
        this.element.append(this.details.element);
      }
      this.details.open();
      this.details.show();
    }
    this.parts.toggle.ariaExpanded = String(this.isOpen);
    this.element.toggleAttribute("data-open", this.isOpen);
  }

  /** Show that it is about to be removed, with a button that calls `undo`. */
  showLeaving(undo) {
    this.undo = undo;
    this.element.dataset.leaving = "";
    this.parts.undo.hidden = false;
    this.parts.undo.querySelector("button").ariaLabel = `Undo: ${this.name} stays`;
  }

  /** It is not removed after all. */
  stay() {
    const hadFocus = this.parts.undo.contains(document.activeElement);
    delete this.element.dataset.leaving;
    this.parts.undo.hidden = true;
    if (hadFocus) this.buttons.get("remove").focus();
  }

  close() {
    this.details?.close();
    unwatch(this);
  }
}
