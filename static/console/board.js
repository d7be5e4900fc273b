/** All of a queue or pool: its toolbar, items, forms, background, schedules, and what has ended. */

import { Adder } from "./adder.js";
import { announce, copy, make } from "./dom.js";
import { teachRoster } from "./empty.js";
import { EndedModules } from "./ended.js";
import { Filter } from "./filter.js";
import { Form } from "./forms.js";
import { History } from "./history.js";
import { whenReleased } from "./press.js";
import { Removals } from "./removal.js";
import { Roster } from "./roster.js";
import { Schedules } from "./schedules.js";
import { Toolbar } from "./toolbar.js";
import { reportsOf, withReports } from "./turns.js";

const SHORT_LIST = 5; // items up to which the form that adds need not be kept in view
const ENDED_DELAY = 300; // ms between the event that modules ended and the request for how

export class Board {
  /**
   * Of the Service `service`, which is a "queue" or "pool" as `kind` says. `onCounts()` is called when the numbers of
   * items by state may have changed.
   */
  constructor(service, kind, onCounts) {
    Object.assign(this, { service, kind, onCounts });
    const { name, endpoint } = service;
    const ask = (...words) => service.ask(...words), perform = (...words) => service.perform(...words);
    const web = (uid) => `${endpoint.url}/at/${uid}/`;
    const describe = (type) => service.descriptions.type(type), command = (cmd) => service.descriptions.commands[cmd] || {};
    this.ask = ask;
    this.describe = describe;
    this.types = null; // names of types that can be added, once they are known
    this.state = { modules: [] };
    this.removals = new Removals({ perform, url: () => endpoint.url, neighbour: (row) => this.roster.neighbour(row) });
    const remove = (row, { detail }) => {
      if (detail > 1 || detail && this.roster.hasJustShifted) return;
      this.removals.remove(row);
    };
    const step = (by) => (row) => this.roster.move(row, this.roster.rows.indexOf(row) + by);
    const tools = {
      perform,
      offers: (cmd) => this.offers(cmd),
      votes: () => votesOf(command("vote")),
      move: () => this.roster.isMovable ? (row, place) => this.roster.move(row, place) : null,
      count: () => this.roster.rows.length,
    };
    this.toolbar = new Toolbar(name, perform);
    this.roster = new Roster("roster", {
      ask, web, tell: "tell_module", describe, tools, actions: { up: step(-1), down: step(1), remove },
      onUpdate: (row) => this.removals.see(row), onDrop: (row) => this.removals.forget(row),
    }, (uids, announcement) => perform("mv", { uids }, announcement));
    this.filter = new Filter(`Filter ${name}`, (words) => {
      this.roster.filter(words);
      this.showCounts();
    });
    this.adder = new Adder(name, { ask, describe, command: () => command("add"), modules: () => this.state.modules });
    this.ended = new EndedModules();
    this.history = new History(ask, perform, name);
    this.schedules = new Schedules(name, { ask, perform, describe, command });
    this.typeForms = [[this.adder, "modules_available"], [this.schedules.form, "modules_available"]];
    this.bar = copy("bar");
    this.bar.append(this.toolbar.element, this.filter.element);
    this.listing = make("div", "listing"); // in which the form stays in view
    this.listing.append(this.roster.element, this.adder.element);
    this.elements = [this.bar, this.listing];
    this.background = kind === "queue" ? this.newBackground({ ask, web }) : null;
    if (this.background) this.elements.push(this.background.element);
    this.elements.push(this.schedules.element, this.ended.element, this.history.element);
    this.offer();
  }

  newBackground({ ask, web }) {
    const describe = (type) => this.service.descriptions.type(type, true), { name } = this.service;
    const background = new Roster("background", { ask, web, tell: "tell_background", actions: {}, describe });
    const send = async (type, args) => {
      await ask("set_bg", { type, args }, true);
      announce(`background set to ${type}`);
    };
    const form = new Form("type-form", "Set background", `Set background in ${name}`, `${name} set_bg`, send, describe);
    form.element.hidden = true; // until its types are known
    background.element.append(form.element);
    this.typeForms.push([form, "backgrounds_available"]);
    return background;
  }

  offers(cmd) {
    return this.service.offers(cmd);
  }

  /** Show what the service offers, and nothing else. */
  offer() {
    this.toolbar.offer(this.service.descriptions.commands);
    this.roster.setMovable(this.kind === "queue" || this.offers("mv"));
    this.schedules.element.hidden = !this.offers("schedules");
    this.ended.setReplaced(this.offers("history"));
  }

  /** Show what the descriptions say now. */
  redescribe() {
    for (const [form] of this.typeForms) form.refresh();
    this.offer();
    this.roster.redescribe();
    this.background?.redescribe();
    this.teach();
  }

  /** Request what has no events. Forms appear with the types, once `described` is resolved. */
  refresh(described, fail) {
    for (const [form, cmd] of this.typeForms)
      Promise.all([this.ask(cmd), described]).then(([types]) => whenReleased(() => this.setTypes(form, types)), fail);
    this.loadEnded();
  }

  setTypes(form, types) {
    form.setNames(types);
    if (form !== this.adder) return;
    this.types = types;
    form.refresh();
    this.teach();
  }

  teach() {
    teachRoster(this.roster.element.querySelector(":scope > .hint"), this.service.name, this.types, this.describe);
  }

  /** Show a state from the event stream. */
  show(state, gone = {}) {
    const { modules, background } = state;
    this.state = state;
    this.toolbar.show(state);
    this.roster.setPaused(Boolean(state.paused));
    this.roster.show(modules);
    if (this.background) this.background.show(background ? [background] : []);
    this.showCounts();
    const ended = Object.keys(gone);
    this.ended.see(ended);
    if (ended.length) this.endedTimer ||= setTimeout(() => this.loadEnded(), ENDED_DELAY);
  }

  showCounts() {
    const { fitting, rows } = this.roster;
    this.filter.count(fitting, rows.length);
    this.listing.toggleAttribute("data-long", rows.length > SHORT_LIST);
    this.onCounts();
  }

  /** Request how modules ended. */
  loadEnded() {
    this.endedTimer = 0;
    this.history.refresh();
    this.ask("gone").then((gone) => this.ended.show(gone), () => {}); // a poll reports a service that is down
  }

  /** All rows, with that of the background. */
  get rows() {
    return [...this.roster.rows, ...(this.background ? this.background.rows : [])];
  }

  /** Show when turns come, as the service says: `modules` have places and estimates, but no parameters. */
  showTurns(modules) {
    const { rows } = this.roster;
    // In a pool, the end of one item need not be the beginning of the next.
    const turns = this.kind === "queue" ? withReports(modules, reportsOf(rows, this.describe)) : modules;
    const known = new Map(turns.map((module) => [module.uid, module]));
    rows.forEach((row) => row.setTurn(known.get(row.uid)));
  }

  close() {
    this.removals.close();
    this.roster.close();
    this.background?.close();
    clearTimeout(this.endedTimer);
  }
}

/** The kinds of votes that a service takes, as its description says. */
function votesOf({ args }) {
  const { kind = {} } = args?.properties || {};
  return kind.enum || [];
}
