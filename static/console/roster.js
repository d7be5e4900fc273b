/** Modules in order, which of them are shown, and how a user changes that order. */

import { arrange, copy } from "./dom.js";
import { enableDragging } from "./drag.js";
import { fits } from "./filter.js";
import { paint } from "./painter.js";
import { Row } from "./row.js";
import { countsOf } from "./state.js";

const SHIFT_TIME = 500; // ms after a row is gone during which a click may still be meant for it, not the next row
const EVENT_TIMEOUT = 5000; // ms to wait for the event that confirms a move, in case another client moved modules again

export class Roster {
  /**
   * Its element is a copy of the template `id`; `options` are passed to its rows. `mv(uids, announcement)`
   * returns a promise. Rows cannot be moved without it, nor before `setMovable`.
   */
  constructor(id, options, mv = null) {
    this.element = copy(id);
    this.list = this.element.querySelector(".modules");
    this.line = { isPaused: false, isBackground: !mv };
    this.options = { ...options, line: this.line };
    this.mv = mv;
    this.isMovable = false;
    this.modules = []; // in the service's order
    this.rows = []; // in the order shown, which is ahead of the service's during a move
    this.shifted = -Infinity; // when a row was last removed and those below moved up
    this.wanted = null; // uids in the order that the last move asks for, until the service confirms it
    this.lastMove = Promise.resolve(); // settles when the last move is answered
    this.compare = null; // checks whether the service's order is the wanted one, while a move waits for it
    this.words = []; // of the filter
    this.fitting = 0; // number of rows that have them
    this.tally = new Map(); // number of rows by the word of their state
    if (mv) enableDragging(this);
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
      if (row.module !== module) this.update(row, module);
      return row;
    });
    if (this.rows.length !== old.length || this.rows.some((row, place) => row !== old[place])) this.reorder(old);
  }

  /** Show a changed module. What is counted of all rows follows what is different. */
  update(row, module) {
    const { word } = row;
    row.update(module);
    if (word !== row.word) {
      this.countState(word, -1);
      this.countState(row.word, 1);
    }
    if (this.words.length || row.isNew) this.sift(row);
    if (module.by) this.element.dataset.owners = ""; // makes room for them in all lines
    if (module.web) this.element.dataset.web = "";
    this.options.onUpdate?.(row);
  }

  countState(word, by) {
    if (word) this.tally.set(word, (this.tally.get(word) || 0) + by);
  }

  /** Numbers of rows by state: [[word, number], …]. */
  get counts() {
    return countsOf(this.tally);
  }

  /** Show only rows that have all these words. */
  filter(words) {
    this.words = words;
    for (const row of this.rows) this.sift(row);
    this.applyMovable(); // a place among a few of them says nothing
  }

  sift(row) {
    const isShown = fits(this.words, row.searched), wasShown = !row.isNew && !row.element.hidden;
    row.isNew = false;
    this.fitting += isShown - wasShown;
    if (row.element.hidden === isShown) row.element.hidden = !isShown;
  }

  /** Show whether everything is paused. */
  setPaused(isPaused) {
    if (this.line.isPaused === isPaused) return;
    this.line.isPaused = isPaused;
    this.rows.forEach(paint);
  }

  newRow(uid) {
    const row = new Row(uid, this.options);
    row.element.addEventListener("keydown", (event) => this.moveByKey(event, row));
    row.isNew = true;
    row.setMovable(this.hasMoves);
    return row;
  }

  /** Say whether rows can be moved. */
  setMovable(isMovable) {
    if (this.isMovable === isMovable) return;
    this.isMovable = isMovable;
    this.applyMovable();
  }

  /** Show the buttons and grips that move rows, or hide them. */
  applyMovable() {
    for (const row of this.rows) row.setMovable(this.hasMoves);
    this.enableMoves();
  }

  get hasMoves() {
    return this.isMovable && !this.words.length;
  }

  /** The first row cannot go up, nor the last one down. */
  enableMoves() {
    this.rows.forEach((row, place) => {
      row.enable("up", place > 0);
      row.enable("down", place < this.rows.length - 1);
    });
  }

  /** Move a row to a place. The command names every module up to that place, so that no other one changes places. */
  async move(row, place) {
    const old = this.rows, before = old.indexOf(row);
    this.rows = old.filter((each) => each !== row);
    this.rows.splice(place, 0, row);
    this.reorder(old);
    const wanted = this.wanted = this.rows.slice(0, Math.max(place, before) + 1).map((each) => each.uid);
    const announcement = `${row.title} is now ${place + 1} of ${old.length}`;
    row.element.dataset.moving = "";
    this.list.ariaBusy = "true";
    // One after the other: requests may overtake each other.
    const answered = this.lastMove = this.lastMove.then(() => this.mv(wanted, announcement));
    if (await answered && wanted === this.wanted) await this.confirmed();
    if (wanted !== this.wanted) return; // a later move is waiting
    this.wanted = this.compare = null;
    this.show(this.modules); // the service's order, whether the move succeeded or not
    for (const each of this.list.children) delete each.dataset.moving;
    this.list.ariaBusy = "false";
  }

  /** Wait until the service's order is the wanted one, or for EVENT_TIMEOUT. */
  confirmed() {
    return new Promise((resolve) => {
      setTimeout(resolve, EVENT_TIMEOUT);
      this.compare = () => {
        const uids = this.modules.map(({ uid }) => uid), wanted = this.wanted.filter((uid) => uids.includes(uid));
        if (wanted.every((uid, place) => uid === uids[place])) resolve();
      };
      this.compare();
    });
  }

  reorder(old) {
    const target = this.nextFocus(old);
    if (!this.dragged) arrange(this.list, this.rows.map((row) => row.element));
    const kept = new Set(this.rows);
    for (const row of old) if (!kept.has(row)) this.drop(row);
    if (old.some((row) => !kept.has(row))) this.shifted = this.rows.length ? performance.now() : -Infinity;
    if (target) target.focus();
    this.enableMoves();
    this.element.querySelector(":scope > .hint").hidden = this.rows.length > 0;
  }

  drop(row) {
    this.countState(row.word, -1);
    if (!row.element.hidden) this.fitting--;
    this.options.onDrop?.(row);
    row.close();
  }

  /** Move a row by the arrow keys, Home or End while one of its move buttons has the focus. */
  moveByKey(event, row) {
    const { target, key } = event;
    if (!row.buttons.has("up")) return;
    if (target !== row.buttons.get("up") && target !== row.buttons.get("down")) return;
    const place = this.rows.indexOf(row), last = this.rows.length - 1;
    const wanted = { ArrowUp: place - 1, ArrowDown: place + 1, Home: 0, End: last }[key];
    if (wanted === undefined) return;
    event.preventDefault();
    if (wanted >= 0 && wanted <= last && wanted !== place) this.move(row, wanted);
  }

  /**
   * The element that gets the focus if the row that has it is about to be removed; null if none is needed.
   *
   * It is a row or heading, which ignores keys: the next key press may be meant for the removed row. The
   * exception is a user who removes several rows one after another, who gets the next "Remove" button.
   */
  nextFocus(old) {
    const place = old.findIndex((row) => row.element.contains(document.activeElement));
    if (place < 0 || this.rows.includes(old[place])) return null;
    const next = nearest(old, place, (row) => this.rows.includes(row));
    if (!next) return this.element.closest(".service").querySelector("h2");
    const { buttons, removed } = old[place], isLeaving = "leaving" in next.element.dataset;
    return removed && !isLeaving && buttons.get("remove") === document.activeElement ? next.buttons.get("remove") : next.element;
  }

  /** The row that is next to a row that is about to be removed; null if there is none. */
  neighbour(row) {
    return nearest(this.rows, this.rows.indexOf(row), ({ element }) => !("leaving" in element.dataset));
  }

  /** Whether rows have just moved up, and are still there: a click may be meant for the row that was there before. */
  get hasJustShifted() {
    return performance.now() - this.shifted < SHIFT_TIME;
  }

  /** Show what the types describe now. */
  redescribe() {
    for (const row of this.rows) row.redescribe();
  }

  close() {
    for (const row of this.rows) row.close();
  }
}

/** The nearest row to a place that is shown and suits: rather one below than one above. */
function nearest(rows, place, suits) {
  const near = [...rows.slice(place + 1), ...rows.slice(0, place).reverse()];
  return near.find((row) => !row.element.hidden && suits(row)) || null;
}
