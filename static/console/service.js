/** One service: its kind and status, its modules, and the forms that send it commands. */

import { Commands } from "./commands.js";
import { Descriptions } from "./describe.js";
import { announce, copy, write } from "./dom.js";
import { EndedModules } from "./ended.js";
import { Form } from "./forms.js";
import { History } from "./history.js";
import { whenReleased } from "./press.js";
import { Roster } from "./roster.js";
import { Schedules } from "./schedules.js";
import { Toolbar } from "./toolbar.js";

const USAGE_INTERVAL = 2000; // ms between polls of a queue or pool for resource usage
const OTHER_INTERVAL = 5000; // ms between polls of another service, only to see whether it answers
const RETRY_DELAY = 500; // ms before a service that did not answer is polled again; two misses mean that it is down
const DESCRIBE_INTERVAL = 15000; // ms between requests for descriptions: a program may be changed, or answer late
const DESCRIBE_WAIT = 1000; // ms that forms wait for descriptions before they appear without
const MAX_TURNS = 200; // modules up to which the turns of those that wait are polled: the answer names them all
const ENDED_DELAY = 300; // ms between the event that modules ended and the request for how

let count = 0;

export class Service {
  constructor(name, endpoint) {
    this.name = name;
    this.endpoint = endpoint;
    endpoint.exact = true;
    endpoint.onAlive = (isNew) => isNew && this.kind && this.describe(); // it may have been restarted
    this.kind = null; // "queue", "pool" or "other"; null while unknown
    this.nextPoll = 0; // time; Infinity during a poll
    this.misses = 0; // polls without an answer, in a row
    this.element = copy("service");
    this.heading = this.element.querySelector("h2");
    this.heading.textContent = name;
    this.heading.id = `service-${count++}`;
    this.element.setAttribute("aria-labelledby", this.heading.id);
    this.problem = this.element.querySelector(".problem");
    this.fixedParts = this.element.children.length;
    this.setStatus("checking", "Checking…");
  }

  setStatus(status, text) {
    this.element.dataset.status = status;
    write(this.element.querySelector(".status"), text);
  }

  /** Send a command. All commands of one turn of the event loop share a request, except those with `now`. */
  ask(cmd, args, now = false) {
    return now ? this.endpoint.forceQuery({ cmd, args }) : this.endpoint.deferQuery({ cmd, args });
  }

  /** Send a user's command now. Return whether it succeeded; an error is shown at the top of the service. */
  async perform(cmd, args, announcement) {
    try {
      await this.ask(cmd, args, true);
      write(this.problem, "");
      announce(announcement);
      return true;
    } catch (error) {
      write(this.problem, error.message);
      return false;
    }
  }

  async poll() {
    this.nextPoll = Infinity;
    try {
      if (this.isVerified) await this.pollUsage();
      else await this.identify();
    } finally {
      const delay = this.misses === 1 ? RETRY_DELAY : this.kind === "other" ? OTHER_INTERVAL : USAGE_INTERVAL;
      this.nextPoll = performance.now() + delay;
    }
  }

  /** Whether it is known to be a queue or pool and answered the last poll. */
  get isVerified() {
    return this.roster && !this.misses;
  }

  /** Send these commands in a request of their own. `refused` is the error of a request that failed as a whole. */
  async askAll(...cmds) {
    const requests = [...cmds.map((cmd) => this.ask(cmd)), this.endpoint.runQueries()];
    const outcomes = await Promise.allSettled(requests);
    return { outcomes, refused: outcomes.pop().reason };
  }

  /** Find out the kind of the service by the commands that it knows. */
  async identify() {
    const { outcomes: [queue, pool], refused } = await this.askAll("queue", "pool");
    if (refused) return this.countMiss(refused);
    const kind = Array.isArray(queue.value) ? "queue" : Array.isArray(pool.value) ? "pool" : "other";
    const wasDown = this.misses > 1;
    this.misses = 0;
    if (kind !== this.kind) this.setKind(kind, pool.reason);
    else if (wasDown && this.roster) this.refresh();
    this.setStatus("alive", "Alive");
    write(this.problem, "");
  }

  /** The service did not answer. Its modules stay visible, since it may be back in a moment. */
  countMiss(error) {
    if ("lost" in document.documentElement.dataset || ++this.misses < 2) return; // the page shows a lost connection
    this.setStatus("dead", this.endpoint.alive ? "Refused" : "Not responding");
    write(this.problem, error.message);
  }

  /** Build the parts for a service of this kind in place of all earlier ones. */
  setKind(kind, reason) {
    this.kind = kind;
    this.descriptions = new Descriptions((...words) => this.ask(...words));
    if (this.unsubscribe) this.unsubscribe();
    if (this.roster) this.roster.close();
    if (this.background) this.background.close();
    this.unsubscribe = this.roster = this.background = this.ended = this.history = this.usage = this.commands = null;
    this.toolbar = this.schedules = null;
    [...this.element.children].slice(this.fixedParts).forEach((part) => part.remove());
    write(this.element.querySelector(".kind"), kind === "other" ? "" : kind);
    this.typeForms = [];
    if (kind !== "other") this.build(kind);
    this.addCommandBox(kind, reason);
    if (!this.roster) return this.describe();
    this.unsubscribe = this.endpoint.subscribe((state, gone) => whenReleased(() => this.roster && this.show(state, gone)));
    this.refresh();
  }

  /** Request what has no events and may be different after a restart. */
  refresh() {
    const described = Promise.race([this.describe(), new Promise((resume) => setTimeout(resume, DESCRIBE_WAIT))]);
    for (const [form, cmd] of this.typeForms)
      Promise.all([this.ask(cmd), described])
        .then(([types]) => whenReleased(() => form.setNames(types)), (error) => write(this.problem, error.message));
    this.loadEnded();
  }

  /** Ask for the descriptions again, and show them if they have changed. */
  async describe() {
    this.described = performance.now();
    if (await this.descriptions.refresh()) whenReleased(() => this.redescribe());
    if (this.roster && this.offers("schedules")) this.schedules.refresh();
  }

  /** Show what the descriptions say now. */
  redescribe() {
    for (const [form] of this.typeForms) form.refresh();
    this.offer();
    this.roster?.redescribe();
    this.background?.redescribe();
    if (this.kind === "other") this.showCommands();
  }

  /** Show what a queue or pool offers, and nothing else. */
  offer() {
    if (!this.roster) return;
    this.toolbar.offer(this.descriptions.commands);
    this.roster.setMovable(this.kind === "queue" || this.offers("mv"));
    this.schedules.element.hidden = !this.offers("schedules");
  }

  offers(cmd) {
    return cmd in this.descriptions.commands;
  }

  /** Buttons for the commands of a service that is neither a queue nor a pool. */
  showCommands() {
    const { describe, ...commands } = this.descriptions.commands;
    if (!this.commands && !Object.keys(commands).length) return;
    if (!this.commands) {
      this.commands = new Commands(this.name, this.name, (cmd, args) => this.ask(cmd, args, true));
      this.element.querySelector(".command-box").before(this.commands.element);
    }
    this.commands.show(commands);
  }

  build(kind) {
    const ask = (...words) => this.ask(...words);
    const remove = async (row, { detail }) => {
      if (detail && this.roster.hasJustShifted) return;
      row.enable("remove", false);
      row.removed = true;
      row.removed = await this.perform("rm", { uids: [row.uid] }, `${row.title} removed`);
      row.enable("remove", !row.removed);
    };
    const step = (by) => (row) => this.roster.move(row, this.roster.rows.indexOf(row) + by);
    const web = (uid) => `${this.endpoint.url}/at/${uid}/`;
    const perform = (...words) => this.perform(...words);
    const tools = {
      perform,
      offers: (cmd) => this.offers(cmd),
      move: () => this.roster.isMovable ? (row, place) => this.roster.move(row, place) : null,
      count: () => this.roster.rows.length,
    };
    const describe = (type) => this.descriptions.type(type);
    const actions = { up: step(-1), down: step(1), remove };
    this.toolbar = new Toolbar(this.name, perform);
    this.roster = new Roster("roster", { ask, web, tell: "tell_module", describe, actions, tools },
      (uids, announcement) => this.perform("mv", { uids }, announcement));
    const add = this.typeForm("Add", "add", "modules_available", (type) => `${type} added`, false);
    this.element.append(this.toolbar.element, this.roster.element, add);
    if (kind === "queue") {
      const describe = (type) => this.descriptions.type(type, true);
      this.background = new Roster("background", { ask, web, tell: "tell_background", actions: {}, describe });
      this.background.element.append(
        this.typeForm("Set background", "set_bg", "backgrounds_available", (type) => `background set to ${type}`, true));
      this.element.append(this.background.element);
    }
    this.ended = new EndedModules();
    this.history = new History(ask, perform);
    const command = (cmd) => this.descriptions.commands[cmd] || {};
    this.schedules = new Schedules(this.name, { ask, perform, describe, command });
    this.typeForms.push([this.schedules.form, "modules_available"]);
    this.offer();
    this.element.append(this.schedules.element, this.ended.element, this.history.element);
  }

  /** A form that starts a module of one of the types that the command `listCmd` lists. */
  typeForm(caption, cmd, listCmd, announcement, isBackground) {
    const send = async (type, args) => {
      await this.ask(cmd, { type, args }, true);
      announce(announcement(type));
    };
    const describe = (type) => this.descriptions.type(type, isBackground);
    const form = new Form("type-form", caption, `${caption} in ${this.name}`, `${this.name} ${cmd}`, send, describe);
    form.element.hidden = true; // until its types are known
    this.typeForms.push([form, listCmd]);
    return form.element;
  }

  addCommandBox(kind, reason) {
    const box = copy("command-box");
    const send = (cmd, args) => this.ask(cmd, args, true);
    const form = new Form("command-form", "Send", `Send to ${this.name}`, this.name, send);
    box.open = kind === "other";
    box.append(form.element);
    this.element.append(box);
    // The error for an unknown command lists the known ones.
    const suggest = ({ message }) => form.setNames((message.split("; known: ")[1] || "").split(", ").filter(Boolean));
    if (reason) suggest(reason);
    else this.ask("").catch(suggest);
  }

  /** Show a state from the event stream. */
  show(state, gone = {}) {
    const { modules, background } = state;
    this.toolbar.show(state);
    this.roster.show(modules);
    if (this.background) this.background.show(background ? [background] : []);
    const ended = Object.keys(gone);
    this.ended.see(ended);
    if (ended.length) this.endedTimer ||= setTimeout(() => this.loadEnded(), ENDED_DELAY);
  }

  /** Request how modules ended. */
  loadEnded() {
    const { ended } = this;
    this.endedTimer = 0;
    this.history?.refresh();
    this.ask("gone").then((gone) => ended.show(gone), () => {}); // a poll reports a service that is down
  }

  showTurns(modules) {
    const known = new Map(modules.map((module) => [module.uid, module]));
    whenReleased(() => this.roster?.rows.forEach((row) => row.setTurn(known.get(row.uid))));
  }

  /** Request what modules use, and when the turns of others come. The answer also shows that the service is alive. */
  async pollUsage() {
    const { rows } = this.roster, waits = ({ module }) => module.state !== "playing";
    const hasTurns = rows.length <= MAX_TURNS && rows.some(waits);
    const { outcomes: [{ value: usage }, turns], refused } = await this.askAll("usage", ...hasTurns ? [this.kind] : []);
    if (refused) return this.countMiss(refused);
    this.misses = 0;
    if (turns?.value) this.showTurns(turns.value);
    if (performance.now() - this.described > DESCRIBE_INTERVAL) this.describe();
    else if (this.schedules?.element.open) this.schedules.refresh();
    if (!this.roster || !usage) return;
    const { at, modules } = usage, before = this.usage;
    this.usage = usage;
    if (!before || at <= before.at) return;
    for (const row of [...this.roster.rows, ...(this.background ? this.background.rows : [])]) {
      const now = modules[row.uid], then = before.modules[row.uid];
      if (now && then)
        row.addUsage({ cpu: Math.max(0, 100 * (now.cpu - then.cpu) / (at - before.at)), memory: now.memory });
    }
  }
}
