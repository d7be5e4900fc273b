/** The history of a service: what has ended, why, and a button that adds it again. */

import { announce, arrange, copy, toJSON, write } from "./dom.js";
import { durationOf } from "./terms.js";
import { titleOf } from "./title.js";

const PAGE = 50; // items loaded at a time
const MAX_RESULT = 10000; // characters shown of a result
const SHORT_RESULT = 60; // characters up to which it is one line

export class History {
  /**
   * `ask(cmd, args, now)` sends a command to the service and returns a promise. `perform(cmd, args, announcement)`
   * does the same for a user, and returns a promise of whether it succeeded. Items are loaded when it is opened.
   */
  constructor(ask, perform) {
    this.ask = ask;
    this.perform = perform;
    this.element = copy("history");
    this.hint = this.element.querySelector(".hint");
    this.list = this.element.querySelector("ol");
    this.older = this.element.querySelector(".older");
    this.entries = new Map(); // the element of each item, by the item's number, newest first
    this.next = null; // the `before` of the next page; null if all items are shown
    this.element.addEventListener("toggle", () => this.refresh());
    this.older.addEventListener("click", () => this.loadOlder());
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
    try {
      return await this.ask("history", { limit: PAGE, ...args });
    } catch ({ message }) {
      write(this.hint, message); // such as that it needs `state_path`
    }
  }

  /** Show these items and entries, newest first. Elements are kept, and so is the focus. */
  show(newer, entries, older = []) {
    const entryOf = (item) => [item.number, fill(this.entries.get(item.number) || this.newEntry(item), item)];
    this.entries = new Map([...newer.map(entryOf), ...entries, ...older.map(entryOf)]);
    arrange(this.list, [...this.entries.values()]);
    this.older.hidden = this.next === null;
    write(this.hint, this.entries.size ? "" : "Nothing has ended yet.");
  }

  newEntry(item) {
    const element = copy("history-item");
    const again = element.querySelector(".again"), title = titleOf(item);
    again.ariaLabel = `Again: ${title}`;
    again.addEventListener("click", () => this.addAgain(again, item.uid, title));
    return element;
  }

  async addAgain(button, uid, title) {
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true"; // and not disabled, which would take the focus away
    await this.perform("requeue", { uids: [uid] }, `${title} added again`);
    button.ariaDisabled = "false";
  }
}

/** Show an item in its element. What is known of its end may change until its last process is gone. */
function fill(element, { type, label, args, state, ended, by, seconds, reason, result, batch, schedule }) {
  const part = (name) => element.querySelector("." + name);
  const title = titleOf({ type, label, args });
  element.dataset.outcome = state;
  write(part("title"), title);
  write(part("type"), title === type ? "" : type);
  write(part("outcome"), state);
  write(part("time"), new Date(ended).toLocaleString());
  part("time").dateTime = ended;
  const details = [
    by && `by ${by}`, typeof seconds === "number" && durationOf(seconds, 1), batch && `batch ${batch}`,
    schedule && `of schedule ${schedule.slice(0, 8)}`,
  ];
  write(part("details"), details.filter(Boolean).join(", "));
  write(part("reason"), reason || "");
  showResult(part("value"), result, title);
  return element;
}

/** What a job has returned: a text as it is, anything else as JSON; empty if there is nothing. */
function asText(result) {
  if (result === null || result === undefined) return "";
  if (typeof result === "string") return result;
  const line = toJSON(result);
  return line.length > SHORT_RESULT ? toJSON(result, 2) : line;
}

/** Show what a job has returned. */
function showResult(element, result, title) {
  const text = asText(result);
  write(element, text.length > MAX_RESULT ? `${text.slice(0, MAX_RESULT)}…` : text);
  element.ariaLabel = `Result of ${title}`;
}
