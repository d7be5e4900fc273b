/** The list of ended modules and why each ended. */

import { announce, copy, make, write } from "./dom.js";

const SHOWN = 50;
const EXPECTED = /^(was removed|was stopped with|left by itself|ended by itself)/;

export class EndedModules {
  constructor() {
    this.element = copy("ended");
    this.list = this.element.querySelector("ol");
    this.known = null; // keys of the records shown before; null until the first answer
    this.seen = new Set(); // uids of modules that ended before that, while the page was looking
    this.element.addEventListener("toggle", () => this.build());
  }

  /** Hide the list where the history shows the same and more. Unexpected ends are announced all the same. */
  setReplaced(isReplaced) {
    this.isReplaced = isReplaced;
    this.element.hidden = isReplaced || !this.gone?.length;
  }

  /** Note modules that have ended just now. */
  see(uids) {
    if (!this.known) uids.forEach((uid) => this.seen.add(uid));
  }

  /** Show the result of the command `gone`, oldest first. Unexpected endings are announced. */
  show(gone) {
    this.gone = gone.slice(-SHOWN).reverse();
    const added = gone.filter((record) => this.known ? !this.known.has(keyOf(record)) : this.seen.has(record.uid));
    this.known = new Set(gone.map(keyOf));
    const unexpected = added.filter(({ reason }) => !EXPECTED.test(reason)).slice(-3);
    if (unexpected.length) announce(unexpected.map((record) => `${nameOf(record)} ${record.reason}`).join("; "));
    write(this.element.querySelector(".count"), String(gone.length));
    const latest = this.gone[0];
    write(this.element.querySelector(".latest"), latest ? `${nameOf(latest)} ${latest.reason}` : "");
    this.setReplaced(this.isReplaced);
    this.build();
  }

  build() {
    if (this.element.open) this.list.replaceChildren(...this.gone.map(itemOf));
  }
}

const nameOf = ({ type, label }) => label || type;
const keyOf = (record) => `${record.uid} ${record.seconds} ${record.reason}`;

function itemOf({ uid, type, label, reason, state_at_end, ended, seconds, ladder, stderr_tail = [] }) {
  const item = make("li", "ended-module");
  const code = make("code", "uid", uid.slice(0, 8));
  code.title = uid;
  const signal = ladder ? `, ended with ${ladder}` : "";
  const time = make("time", "hint", new Date(ended).toLocaleString());
  time.dateTime = ended;
  item.append(...headingOf(type, label), " ", code, " ", time, make("p", "reason", reason),
    make("p", "hint", `Last state: ${state_at_end}, ran for ${seconds.toFixed(1)} s${signal}`));
  if (stderr_tail.length) {
    const tail = make("pre", "output", stderr_tail.join("\n"));
    tail.tabIndex = 0;
    tail.ariaLabel = `Last lines of standard error of ${label || type}`;
    tail.role = "group";
    item.append(tail);
  }
  return item;
}

/** The label, if there is one, and the type. */
const headingOf = (type, label) => [...label ? [make("span", "title", label), " "] : [], make("span", "type", type)];
