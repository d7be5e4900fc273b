/** The modules that have ended, and why. */

import { announce, copy, make, write } from "./dom.js";

const SHOWN = 50;
const EXPECTED = /^(was removed|was stopped with|left by itself|ended by itself)/;

export class Graves {
  constructor() {
    this.element = copy("graves");
    this.list = this.element.querySelector("ol");
    this.known = null; // the texts of those that have been seen
    this.element.addEventListener("toggle", () => this.build());
  }

  /** Takes the answer to `gone`, oldest first. Says aloud what nobody has wanted. */
  show(gone) {
    this.gone = gone.slice(-SHOWN).reverse();
    const fresh = this.known ? gone.filter((each) => !this.known.has(key(each))) : [];
    this.known = new Set(gone.map(key));
    const words = fresh.filter(({ reason }) => !EXPECTED.test(reason)).map(({ type, reason }) => `${type} ${reason}`);
    if (words.length) announce(words.slice(-3).join("; "));
    write(this.element.querySelector(".count"), String(gone.length));
    const last = this.gone[0];
    write(this.element.querySelector(".last"), last ? `${last.type} ${last.reason}` : "");
    this.element.hidden = !last;
    this.build();
  }

  build() {
    if (this.element.open) this.list.replaceChildren(...this.gone.map(grave));
  }
}

const key = (each) => `${each.uid} ${each.seconds} ${each.reason}`;

function grave({ uid, type, reason, state_at_end, ended, seconds, ladder, stderr_tail = [] }) {
  const item = make("li", "grave");
  const code = make("code", "uid", uid.slice(0, 8));
  code.title = uid;
  const means = ladder ? `, ended by ${ladder}` : "";
  const time = make("time", "hint", new Date(ended).toLocaleString());
  time.dateTime = ended;
  item.append(make("span", "type", type), " ", code, " ", time, make("p", "reason", reason),
    make("p", "hint", `${state_at_end} at its end, after ${seconds.toFixed(1)} s${means}`));
  if (stderr_tail.length) {
    const tail = make("pre", "output", stderr_tail.join("\n"));
    tail.tabIndex = 0;
    tail.ariaLabel = `last words of ${type}`;
    tail.role = "group";
    item.append(tail);
  }
  return item;
}
