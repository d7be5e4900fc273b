/** The history of a service: what has ended, why, and a button that adds it again. */

import { announce, arrange, copy } from "./dom.js";
import { teach, teachHistory } from "./empty.js";
import { Filter, fits } from "./filter.js";
import { PastItem } from "./past.js";

const PAGE = 50; // items loaded at a time
const SEARCHED = 500; // the same while they are filtered by a text

export class History {
  /**
   * `ask(cmd, args, now)` sends a command to the service and returns a promise. `perform(cmd, args, announcement)`
   * does the same for a user, and returns a promise of whether it succeeded. Items are loaded when it is opened.
   */
  constructor(ask, perform, name = "") {
    this.ask = ask;
    this.perform = perform;
    this.element = copy("history");
    this.hint = this.element.querySelector(".hint");
    this.list = this.element.querySelector("ol");
    this.older = this.element.querySelector(".older");
    this.state = this.element.querySelector("select");
    this.filter = new Filter(`Filter the history ${name && `of ${name}`}`.trim(), (words) => this.search(words));
    this.state.closest(".bar").append(this.filter.element);
    this.words = [];
    this.entries = new Map(); // each PastItem by the item's number, newest first
    this.next = null; // the `before` of the next page; null if all items are shown
    this.element.addEventListener("toggle", () => this.refresh());
    this.older.addEventListener("click", () => this.loadOlder());
    this.state.addEventListener("change", () => this.restart());
  }

  /** Load the latest items, if it is open. */
  async refresh() {
    if (!this.element.open) return;
    const page = await this.load({});
    if (!page) return;
    const last = page.items.at(-1)?.number;
    // Keep older items, unless there may be others between them and this page.
    const isContinued = page.next !== null && this.entries.has(last);
    const older = isContinued ? [...this.entries].filter(([number]) => number < last) : [];
    if (!older.length) this.next = page.next;
    this.show(page.items, older);
  }

  /** Begin anew, with other filters. */
  restart() {
    this.entries.clear();
    this.next = null;
    return this.refresh();
  }

  /** Show only items that have all these words. More are loaded at a time then, since few of them may. */
  search(words) {
    const isFirst = !this.words.length && words.length;
    this.words = words;
    this.sift();
    if (isFirst) this.refresh();
  }

  async loadOlder() {
    if (this.older.ariaDisabled === "true") return;
    this.older.ariaDisabled = "true";
    const { next } = this;
    const page = await this.load({ before: next });
    this.older.ariaDisabled = "false";
    if (!page || next !== this.next) return; // the pages have begun anew
    const hadFocus = document.activeElement === this.older;
    this.next = page.next;
    const before = [...this.entries];
    this.show([], before, page.items);
    announce(`${page.items.length} older ones are shown`);
    if (hadFocus && this.older.hidden) this.list.children[before.length]?.focus();
  }

  /** Request a page. Returns undefined if there is no answer, or a refusal, which is shown. */
  async load(args) {
    const state = this.state.value, limit = this.words.length ? SEARCHED : PAGE;
    try {
      const page = await this.ask("history", { limit, ...state && { state }, ...args });
      if (state === this.state.value) return page;
    } catch ({ message }) {
      teachHistory(this.hint, message); // such as that it needs `state_path`
    }
  }

  /** Show these items and entries, newest first. Elements are kept, and so is the focus. */
  show(newer, entries, older = []) {
    const entryOf = (item) => [item.number, this.update(item)];
    this.entries = new Map([...newer.map(entryOf), ...entries, ...older.map(entryOf)]);
    arrange(this.list, [...this.entries.values()].map(({ element }) => element));
    this.older.hidden = this.next === null;
    if (this.entries.size) teach(this.hint, "");
    else if (this.state.value) teach(this.hint, `Nothing is ${this.state.value}.`);
    else teachHistory(this.hint, "");
    this.sift();
  }

  update(item) {
    const known = this.entries.get(item.number);
    if (!known) return new PastItem(item, this.ask, (...words) => this.addAgain(...words));
    known.show(item);
    return known;
  }

  sift() {
    let shown = 0;
    for (const entry of this.entries.values()) {
      const isShown = fits(this.words, entry.searched);
      entry.element.hidden = !isShown;
      shown += isShown;
    }
    this.filter.count(shown, this.next === null ? this.entries.size : `the last ${this.entries.size}`);
  }

  addAgain({ uid }, title) {
    return this.perform("requeue", { uids: [uid] }, `${title} added again`);
  }
}
