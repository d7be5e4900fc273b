/** Modules in order, and how a person changes that order. */

import { arrange, copy } from "./dom.js";
import { Row } from "./row.js";
import { dragging } from "./drag.js";

const SHIFT = 500; // ms after a row has gone in which a click at its place is not meant for the next one
const EVENT = 5000; // ms after an answer by which the event about it has come, if nobody else has moved something

export class Roster {
  /**
   * Its element is a copy of the template `id`; `options` are those of its rows. With `mv(uids)`, which
   * gives a promise, they can be moved.
   */
  constructor(id, options, mv = null) {
    this.element = copy(id);
    this.list = this.element.querySelector(".modules");
    this.options = options;
    this.mv = mv;
    this.modules = []; // as the service says
    this.shifted = -Infinity; // when a row has gone and the others have moved up
    this.rows = []; // as they are shown: in advance of the service's word while a person moves them
    this.wanted = null; // the order that the last move asks for, until it is what the service says
    this.moved = Promise.resolve(); // the last move is answered
    this.compare = null; // whether it is what the service says; while a move waits for that
    if (mv) dragging(this);
  }

  show(modules) {
    this.modules = modules;
    this.compare?.();
    const known = new Map(this.rows.map((row) => [row.uid, row]));
    if (this.wanted) {
      const places = new Map(this.rows.map((row, place) => [row.uid, place]));
      const place = ({ uid }) => places.get(uid) ?? Infinity;
      modules = [...modules].sort((a, b) => place(a) - place(b) || 0);
    }
    const old = this.rows;
    this.rows = modules.map((module) => {
      const row = known.get(module.uid) || this.newRow(module.uid);
      row.take(module);
      return row;
    });
    if (this.rows.length !== old.length || this.rows.some((row, place) => row !== old[place])) this.reorder(old);
  }

  newRow(uid) {
    const row = new Row(uid, this.options);
    if (this.mv) row.element.addEventListener("keydown", (event) => this.key(event, row));
    else row.part("grip").remove();
    return row;
  }

  /** Move a row to a place: all that stand before it there are named, so nobody else changes places. */
  async move(row, place) {
    const old = this.rows, before = old.indexOf(row);
    this.rows = old.filter((each) => each !== row);
    this.rows.splice(place, 0, row);
    this.reorder(old);
    const wanted = this.wanted = this.rows.slice(0, Math.max(place, before) + 1).map((each) => each.uid);
    const said = `${row.type} is now ${place + 1} of ${old.length}`;
    row.element.dataset.moving = "";
    this.list.ariaBusy = "true";
    const answered = this.moved = this.moved.then(() => this.mv(wanted, said)); // requests may overtake each other
    if (await answered && wanted === this.wanted) await this.confirmed();
    if (wanted !== this.wanted) return; // a later move waits
    this.wanted = this.compare = null;
    this.show(this.modules); // as the service says, whether that worked or not
    for (const each of this.list.children) delete each.dataset.moving;
    this.list.ariaBusy = "false";
  }

  /** Wait until events say what is wanted; not forever, since others may have changed the order again. */
  confirmed() {
    return new Promise((resolve) => {
      setTimeout(resolve, EVENT);
      this.compare = () => {
        const uids = this.modules.map(({ uid }) => uid), wanted = this.wanted.filter((uid) => uids.includes(uid));
        if (wanted.every((uid, place) => uid === uids[place])) resolve();
      };
      this.compare();
    });
  }

  reorder(old) {
    const heir = this.heir(old);
    if (!this.dragged) arrange(this.list, this.rows.map((row) => row.element));
    const stay = new Set(this.rows);
    for (const row of old) if (!stay.has(row)) row.close();
    if (old.some((row) => !stay.has(row))) this.shifted = performance.now();
    if (heir) heir.focus();
    this.rows.forEach((row, place) => {
      row.enable("up", place > 0);
      row.enable("down", place < this.rows.length - 1);
    });
    this.element.querySelector(":scope > .hint").hidden = this.rows.length > 0;
  }

  /** The arrow keys move a row while one of the buttons that move it has the focus. */
  key(event, row) {
    const { target, key } = event;
    if (target !== row.buttons.get("up") && target !== row.buttons.get("down")) return;
    const place = this.rows.indexOf(row), last = this.rows.length - 1;
    const wanted = { ArrowUp: place - 1, ArrowDown: place + 1, Home: 0, End: last }[key];
    if (wanted === undefined) return;
    event.preventDefault();
    if (wanted >= 0 && wanted <= last && wanted !== place) this.move(row, wanted);
  }

  /**
   * What gets the focus if the row that has it is about to go. Nothing that acts at the next key: it may
   * have been meant for what is gone. Only who removes one after the other keeps the button for it.
   */
  heir(old) {
    const place = old.findIndex((row) => row.element.contains(document.activeElement));
    if (place < 0 || this.rows.includes(old[place])) return null;
    const near = [...old.slice(place + 1), ...old.slice(0, place).reverse()];
    const next = near.find((row) => this.rows.includes(row));
    if (!next) return this.element.closest(".service").querySelector("h2");
    const { buttons, removed } = old[place];
    return removed && buttons.get("remove") === document.activeElement ? next.buttons.get("remove") : next.element;
  }

  /** Whether what is under the pointer has just changed: a click may be meant for what was there before. */
  get shifts() {
    return performance.now() - this.shifted < SHIFT;
  }

  close() {
    for (const row of this.rows) row.close();
  }
}
