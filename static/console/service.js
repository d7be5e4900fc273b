/** One service: what it is, what it has, and what can be ordered from it. */

import { announce, copy, write } from "./dom.js";
import { Form } from "./forms.js";
import { Graves } from "./graves.js";
import { Roster } from "./roster.js";

const LOOK = 2000; // ms between two looks at what the modules of a queue or pool use
const GLANCE = 5000; // ms between two at another service: they only tell whether it is alive
const AGAIN = 500; // ms until it is asked again when it has not answered; only then it counts as dead
const SOON = 300; // ms after which it is asked how those that have left have ended

let count = 0;

export class Service {
  constructor(name, endpoint) {
    this.name = name;
    this.endpoint = endpoint;
    endpoint.exact = true;
    this.kind = null; // "queue", "pool", "other"; null while that is not known
    this.next = 0; // when to look again
    this.misses = 0; // times in a row that it has not answered
    this.element = copy("service");
    this.heading = this.element.querySelector("h2");
    this.heading.textContent = name;
    this.heading.id = `service-${count++}`;
    this.element.setAttribute("aria-labelledby", this.heading.id);
    this.problem = this.element.querySelector(".problem");
    this.fixed = this.element.children.length;
    this.status("looking", "Looking…");
  }

  status(state, text) {
    this.element.dataset.status = state;
    write(this.element.querySelector(".status"), text);
  }

  /** Asked in one turn, these go out in one request; with `now` it waits for none. */
  ask(cmd, args, now = false) {
    return now ? this.endpoint.forceQuery({ cmd, args }) : this.endpoint.deferQuery({ cmd, args });
  }

  /** Do what a person wants, now; whether that worked. A failure is said at the top of the service. */
  async act(cmd, args, said) {
    try {
      await this.ask(cmd, args, true);
      write(this.problem, "");
      announce(said);
      return true;
    } catch (error) {
      write(this.problem, error.message);
      return false;
    }
  }

  async look() {
    this.next = Infinity;
    try {
      if (this.isKnown) await this.measure();
      else await this.recognise();
    } finally {
      this.next = performance.now() + (this.misses === 1 ? AGAIN : this.kind === "other" ? GLANCE : LOOK);
    }
  }

  /** Whether it is a queue or pool, and answers. */
  get isKnown() {
    return this.roster && !this.misses;
  }

  /** Ask these, in a request of their own: their outcomes, and `refused`, the error of a request that got no answers. */
  async askAll(...cmds) {
    const asked = [...cmds.map((cmd) => this.ask(cmd)), this.endpoint.runQueries()];
    const outcomes = await Promise.allSettled(asked);
    return { outcomes, refused: outcomes.pop().reason };
  }

  /** Find out what it is, by what it answers. */
  async recognise() {
    const { outcomes: [queue, pool], refused } = await this.askAll("queue", "pool");
    if (refused) return this.dead(refused);
    const kind = Array.isArray(queue.value) ? "queue" : Array.isArray(pool.value) ? "pool" : "other";
    const back = this.misses > 1;
    this.misses = 0;
    if (kind !== this.kind) this.become(kind, pool.reason);
    else if (back && this.roster) this.refresh();
    this.status("alive", "Alive");
    write(this.problem, "");
  }

  /** What was there stays to be seen, for it may be back in a moment. */
  dead(error) {
    if ("lost" in document.documentElement.dataset || ++this.misses < 2) return; // the former is said elsewhere
    this.status("dead", this.endpoint.alive ? "Refused" : "Not answering");
    write(this.problem, error.message);
  }

  become(kind, reason) {
    this.kind = kind;
    if (this.unsubscribe) this.unsubscribe();
    if (this.roster) this.roster.close();
    if (this.background) this.background.close();
    this.unsubscribe = this.roster = this.background = this.graves = this.usage = null;
    [...this.element.children].slice(this.fixed).forEach((part) => part.remove());
    write(this.element.querySelector(".kind"), kind === "other" ? "" : kind);
    this.offers = [];
    if (kind !== "other") this.build(kind);
    this.addCommandBox(kind, reason);
    if (!this.roster) return;
    this.unsubscribe = this.endpoint.subscribe((state, gone) => this.show(state, gone));
    this.refresh();
  }

  /** Ask for what does not come by itself, and may be different after a restart. */
  refresh() {
    for (const [form, cmd] of this.offers)
      this.ask(cmd).then((types) => form.offer(types), (error) => write(this.problem, error.message));
    this.bury();
  }

  build(kind) {
    const ask = (...words) => this.ask(...words);
    const remove = async (row, { detail }) => {
      if (detail && this.roster.shifts) return;
      row.enable("remove", false);
      row.removed = true;
      row.removed = await this.act("rm", { uids: [row.uid] }, `${row.type} removed`);
      row.enable("remove", !row.removed);
    };
    const step = (by) => (row) => this.roster.move(row, this.roster.rows.indexOf(row) + by);
    const options = { ask, tell: "tell_module" };
    this.roster = kind === "queue"
      ? new Roster("roster", { ...options, actions: { up: step(-1), down: step(1), remove } },
        (uids, said) => this.act("mv", { uids }, said))
      : new Roster("roster", { ...options, actions: { remove } });
    const add = this.order("Add", "add", "modules_available", (type) => `${type} added`);
    this.element.append(this.roster.element, add);
    if (kind === "queue") {
      this.background = new Roster("background", { ask, tell: "tell_background", actions: {} });
      this.background.element.append(
        this.order("Set background", "set_bg", "backgrounds_available", (type) => `background is ${type}`));
      this.element.append(this.background.element);
    }
    this.graves = new Graves();
    this.element.append(this.graves.element);
  }

  /** A form that has a module of a type started. */
  order(caption, cmd, offer, said) {
    const form = new Form("order", caption, `${caption} in ${this.name}`, `${this.name} ${cmd}`, async (type, args) => {
      await this.ask(cmd, { type, args }, true);
      announce(said(type));
    });
    form.element.hidden = true; // until there is something to choose
    this.offers.push([form, offer]);
    return form.element;
  }

  addCommandBox(kind, reason) {
    const box = copy("box");
    const form = new Form("command", "Send", `Send to ${this.name}`, this.name, (cmd, args) => this.ask(cmd, args, true));
    box.open = kind === "other";
    box.append(form.element);
    this.element.append(box);
    // A service that does not know a command says which ones it knows.
    const suggest = ({ message }) => form.offer((message.split("; known: ")[1] || "").split(", ").filter(Boolean));
    if (reason) suggest(reason);
    else this.ask("").catch(suggest);
  }

  /** Show what the event stream says. */
  show({ modules, background }, gone = {}) {
    this.roster.show(modules);
    if (this.background) this.background.show(background ? [background] : []);
    if (Object.keys(gone).length) this.funeral ||= setTimeout(() => this.bury(), SOON);
  }

  /** Ask how modules have ended. */
  bury() {
    const { graves } = this;
    this.funeral = 0;
    this.ask("gone").then((gone) => graves.show(gone), () => {}); // not answering is said elsewhere
  }

  /** Ask what the modules use; the answer also tells that the service lives. */
  async measure() {
    const { outcomes: [{ value: usage }], refused } = await this.askAll("usage");
    if (refused) return this.dead(refused);
    this.misses = 0;
    if (!this.roster || !usage) return;
    const { at, modules } = usage, before = this.usage;
    this.usage = usage;
    if (!before || at <= before.at) return;
    for (const row of [...this.roster.rows, ...(this.background ? this.background.rows : [])]) {
      const now = modules[row.uid], then = before.modules[row.uid];
      if (now && then)
        row.measure({ cpu: Math.max(0, 100 * (now.cpu - then.cpu) / (at - before.at)), memory: now.memory });
    }
  }
}
