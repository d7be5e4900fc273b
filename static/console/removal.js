/**
 * Removing items, with a way back where there can be one.
 *
 * An item that waits is not removed at once: its row says so and offers "Undo" for some seconds, and only then is the
 * command sent. So "Undo" leaves nothing changed: place, uid, owner, votes and what waits for the item are the same.
 * To add it again would give it another uid, and would have failed the items that wait for it. The command is sent
 * earlier if the item begins to play, or if the user leaves the page. An item that runs is asked about instead.
 */

import { Confirmation } from "./confirmation.js";
import { announce } from "./dom.js";
import { isRunning } from "./state.js";

const all = new Set(); // the Removals of all services
let latest = null; // {removals, row}: what Control+Z brings back

export class Removals {
  /** How long "Undo" is offered, in ms. */
  static undoTime = 8000;

  /**
   * `perform(cmd, args, announcement)` sends a command for a user; `url()` is where commands of the service go;
   * `neighbour(row)` is the row that has the focus next, or null.
   */
  constructor({ perform, url, neighbour }) {
    Object.assign(this, { perform, url, neighbour });
    this.pending = new Map(); // by row: the timer
    all.add(this);
  }

  /** Remove the item of a row, as a user wants. */
  remove(row) {
    if (this.pending.has(row) || row.removed) return;
    if (isRunning(row.module)) this.askFirst(row);
    else this.postpone(row);
  }

  askFirst(row) {
    this.confirmation ||= new Confirmation(() => this.asked?.buttons.get("remove").focus());
    this.asked = row;
    row.element.firstElementChild.after(this.confirmation.element);
    this.confirmation.ask(`Stop ${row.title}? Its process ends. This cannot be undone.`, "Stop it", () => this.send(row));
  }

  postpone(row) {
    const hadFocus = row.element.contains(document.activeElement);
    row.showLeaving(() => this.undo(row));
    if (hadFocus) (this.neighbour(row)?.buttons.get("remove") || row.parts.undo.querySelector("button")).focus();
    this.pending.set(row, setTimeout(() => this.send(row), Removals.undoTime));
    latest = { removals: this, row };
    announce(`${row.title} removed. Control+Z brings it back.`);
  }

  undo(row) {
    if (!this.pending.has(row)) return;
    this.forget(row);
    row.stay();
    announce(`${row.title} is back`);
  }

  /** Send the command now. */
  async send(row) {
    this.forget(row);
    row.removed = true;
    row.enable("remove", false);
    row.removed = await this.perform("rm", { uids: [row.uid] }, `${row.title} removed`);
    if (row.removed) return;
    row.enable("remove", true);
    row.stay();
  }

  /** An item has changed: if it has begun to play, there is nothing to wait for. */
  see(row) {
    if (this.pending.has(row) && isRunning(row.module)) this.send(row);
  }

  /** A row is gone, or its item stays. */
  forget(row) {
    clearTimeout(this.pending.get(row));
    this.pending.delete(row);
    if (latest?.row === row) latest = null;
  }

  /** Send all that is pending in a request that outlives the page. If it fails while the page is there, all stay. */
  async flush() {
    const rows = [...this.pending.keys()], uids = rows.map((row) => row.uid);
    for (const row of rows) {
      this.forget(row);
      row.removed = true;
    }
    if (!uids.length) return;
    const headers = { "Content-Type": "application/json" };
    if (shmooze_token) headers.Authorization = `Bearer ${shmooze_token}`;
    const url = Object.assign(new URL(this.url(), document.baseURI), { username: "", password: "" });
    const options = { method: "POST", headers, keepalive: true, body: JSON.stringify({ cmd: "rm", args: { uids } }) };
    const { success } = await fetch(url, options).then((answer) => answer.json()).catch(() => ({}));
    if (success) return;
    for (const row of rows) {
      row.removed = false;
      row.stay();
    }
    announce(`${uids.length === 1 ? "An item was" : `${uids.length} items were`} not removed`);
  }

  /** The rows are gone: what was to be removed is removed now. */
  close() {
    this.flush();
    all.delete(this);
  }
}

const flushAll = () => all.forEach((each) => each.flush());
addEventListener("pagehide", flushAll);
document.addEventListener("visibilitychange", () => document.hidden && flushAll()); // the last event that a phone sends

addEventListener("keydown", (event) => {
  const isTyping = event.target.closest?.("input, textarea, select");
  if (!latest || isTyping || event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey) return;
  event.preventDefault();
  latest.removals.undo(latest.row);
});
