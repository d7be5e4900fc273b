/** One service: its kind and status, whether it is folded, and what it shows of itself. */

import { Board } from "./board.js";
import { Commands } from "./commands.js";
import { Descriptions } from "./describe.js";
import { announce, copy, write } from "./dom.js";
import { Form } from "./forms.js";
import { rememberFolded, wasFolded } from "./memory.js";
import { whenReleased } from "./press.js";

const USAGE_INTERVAL = 2000; // ms between polls of a queue or pool for resource usage
const OTHER_INTERVAL = 5000; // ms between polls of another service, only to see whether it answers
const RETRY_DELAY = 500; // ms before a service that did not answer is polled again; two misses mean that it is down
const DESCRIBE_INTERVAL = 15000; // ms between requests for descriptions: a program may be changed, or answer late
const DESCRIBE_WAIT = 1000; // ms that forms wait for descriptions before they appear without
const MAX_TURNS = 200; // modules up to which the turns of those that wait are polled: the answer names them all

let count = 0;

export class Service {
  static startTime = 10000; // ms in which a service that has not answered yet may still be starting

  constructor(name, endpoint) {
    this.name = name;
    this.endpoint = endpoint;
    endpoint.exact = true;
    endpoint.onAlive = (isNew) => isNew && this.kind && this.describe(); // it may have been restarted
    this.kind = null; // "queue", "pool" or "other"; null while unknown
    this.nextPoll = 0; // time; Infinity during a poll
    this.misses = 0; // polls without an answer, in a row
    this.opened = performance.now();
    this.board = null; // of a queue or pool
    this.onSummary = () => {}; // called when status or counts have changed
    this.element = copy("service");
    this.heading = this.element.querySelector("h2");
    this.heading.textContent = name;
    this.heading.id = `service-${count++}`;
    this.element.setAttribute("aria-labelledby", this.heading.id);
    this.folding = this.element.querySelector(".fold");
    this.folding.addEventListener("click", () => this.setFolded(!this.isFolded));
    this.problem = this.element.querySelector(".problem");
    this.fixedParts = this.element.children.length;
    this.setStatus("checking", "Checking…");
  }

  setStatus(status, text) {
    this.element.dataset.status = status;
    this.statusText = text;
    write(this.element.querySelector(".status"), text);
    this.showSummary();
  }

  /** Whether the user has folded it; null if they have not touched it. */
  get wasFolded() {
    return wasFolded(this.name);
  }

  get isFolded() {
    return "folded" in this.element.dataset;
  }

  /** Show only its heading with counts, or all of it. */
  setFolded(isFolded, remember = true) {
    this.element.toggleAttribute("data-folded", isFolded);
    this.folding.ariaExpanded = String(!isFolded);
    this.folding.ariaLabel = `${isFolded ? "Show" : "Fold"} ${this.name}`;
    if (remember) rememberFolded(this.name, isFolded);
  }

  /** Numbers of its items by state. */
  get counts() {
    return this.board ? this.board.roster.counts : [];
  }

  showSummary() {
    write(this.element.querySelector(".counts"), this.counts.map(([word, count]) => `${count} ${word}`).join(" · "));
    this.onSummary();
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
      const delay = this.misses === 1 || this.misses && this.mayBeStarting ? RETRY_DELAY : this.kind === "other" ? OTHER_INTERVAL : USAGE_INTERVAL;
      this.nextPoll = performance.now() + delay;
    }
  }

  /** Whether it has never answered, and the page has not been open for long: perhaps all of it was started just now. */
  get mayBeStarting() {
    return !this.kind && performance.now() - this.opened < Service.startTime;
  }

  /** Whether it is known to be a queue or pool and answered the last poll. */
  get isVerified() {
    return this.board && !this.misses;
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
    else if (wasDown && this.board) this.refresh();
    this.setStatus("alive", "Alive");
    write(this.problem, "");
  }

  /** The service did not answer. Its modules stay visible, since it may be back in a moment. */
  countMiss(error) {
    if ("lost" in document.documentElement.dataset || ++this.misses < 2) return; // the page shows a lost connection
    if (!this.endpoint.alive && this.mayBeStarting) return this.setStatus("checking", "Starting…");
    this.setStatus("dead", this.endpoint.alive ? "Refused" : "Not responding");
    write(this.problem, error.message);
  }

  /** Build the parts for a service of this kind in place of all earlier ones. */
  setKind(kind, reason) {
    this.kind = kind;
    this.descriptions = new Descriptions((...words) => this.ask(...words));
    if (this.unsubscribe) this.unsubscribe();
    if (this.board) this.board.close();
    this.unsubscribe = this.board = this.usage = this.commands = null;
    [...this.element.children].slice(this.fixedParts).forEach((part) => part.remove());
    write(this.element.querySelector(".kind"), kind === "other" ? "" : kind);
    if (kind !== "other") {
      this.board = new Board(this, kind, () => this.showSummary());
      this.element.append(...this.board.elements);
    }
    this.addCommandBox(kind, reason);
    if (!this.board) return this.describe();
    this.unsubscribe = this.endpoint.subscribe((state, gone) => whenReleased(() => this.board?.show(state, gone)));
    this.refresh();
  }

  /** Request what has no events and may be different after a restart. */
  refresh() {
    const described = Promise.race([this.describe(), new Promise((resume) => setTimeout(resume, DESCRIBE_WAIT))]);
    this.board.refresh(described, (error) => write(this.problem, error.message));
  }

  /** Ask for the descriptions again, and show them if they have changed. */
  async describe() {
    this.described = performance.now();
    if (await this.descriptions.refresh()) whenReleased(() => this.redescribe());
    if (this.board && this.offers("schedules")) this.board.schedules.refresh();
  }

  /** Show what the descriptions say now. */
  redescribe() {
    this.board?.redescribe();
    if (this.kind === "other") this.showCommands();
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

  /** Request what modules use, and when the turns of others come. The answer also shows that the service is alive. */
  async pollUsage() {
    const { rows } = this.board.roster, waits = ({ module }) => module.state !== "playing";
    const hasTurns = rows.length <= MAX_TURNS && rows.some(waits);
    const { outcomes: [{ value: usage }, turns], refused } = await this.askAll("usage", ...hasTurns ? [this.kind] : []);
    if (refused) return this.countMiss(refused);
    this.misses = 0;
    if (turns?.value) whenReleased(() => this.board?.showTurns(turns.value));
    if (performance.now() - this.described > DESCRIBE_INTERVAL) this.describe();
    else if (this.board?.schedules.element.open) this.board.schedules.refresh();
    if (this.board && usage) this.showUsage(usage);
  }

  showUsage(usage) {
    const { at, modules } = usage, before = this.usage;
    this.usage = usage;
    if (!before || at <= before.at) return;
    for (const row of this.board.rows) {
      const now = modules[row.uid], then = before.modules[row.uid];
      if (now && then)
        row.addUsage({ cpu: Math.max(0, 100 * (now.cpu - then.cpu) / (at - before.at)), memory: now.memory });
    }
  }
}
