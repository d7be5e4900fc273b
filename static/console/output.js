/**
 * The output of an item: its lines as they come, searched by the service, followed, and copied.
 *
 * New lines are asked for by their number (`follow`), so that none is missed and none is sent twice. The last line may
 * be incomplete, such as a progress bar: only `output` has it.
 */

import { makeCopyButton } from "./clipboard.js";
import { copy, make, write } from "./dom.js";

const INTERVAL = 1000; // ms between two looks
const FIRST = 1000; // lines asked for at first
const MOST = 10000; // lines shown; the service gives no more either
const SEARCH_DELAY = 300; // ms after the last key

export class Output {
  /** `ask(cmd, args, now)` sends a command to the service. With `isLive`, new lines are shown as they come. */
  constructor(uid, title, ask, isLive = true) {
    Object.assign(this, { uid, ask, isLive });
    this.element = copy("output");
    this.element.ariaLabel = `Output of ${title}`;
    this.text = this.element.querySelector(".tail");
    this.status = this.element.querySelector(".seen");
    this.search = this.element.querySelector("input");
    this.follow = this.element.querySelector(".follow");
    this.earlier = this.element.querySelector(".earlier");
    this.lines = []; // complete ones
    this.partial = ""; // the last line, as far as it is written
    this.next = null; // the number of the next line; null before the first answer
    this.isFollowing = true;
    this.text.ariaLabel = `Lines of ${title}`;
    this.follow.hidden = !isLive;
    this.element.toggleAttribute("data-live", isLive);
    makeCopyButton(this.element.querySelector(".copy"), () => this.text.textContent);
    this.follow.addEventListener("click", () => this.setFollowing(!this.isFollowing));
    this.text.addEventListener("scroll", () => this.isAtEnd || this.wasScrolled());
    this.earlier.addEventListener("click", () => this.loadEarlier());
    this.search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.find(), SEARCH_DELAY);
    });
  }

  /** Load the lines, and go on looking for new ones until `close`. */
  open() {
    this.close();
    this.look();
    if (this.isLive) this.timer = setInterval(() => this.look(), INTERVAL);
  }

  close() {
    clearInterval(this.timer);
    clearTimeout(this.typing);
  }

  get needle() {
    return this.search.value;
  }

  get isAtEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.text;
    return scrollTop + clientHeight >= scrollHeight - 4;
  }

  wasScrolled() {
    if (this.isFollowing && this.text.scrollTop < this.shownTop) this.setFollowing(false);
  }

  setFollowing(isFollowing) {
    this.isFollowing = isFollowing;
    this.follow.ariaPressed = String(isFollowing);
    if (isFollowing) this.scrollToEnd();
  }

  scrollToEnd() {
    this.text.scrollTop = this.text.scrollHeight;
    this.shownTop = this.text.scrollTop; // what is less is the user's doing
  }

  async look() {
    if (document.hidden || this.isLooking) return;
    this.isLooking = true;
    try {
      if (!this.isLive || this.next === null) await this.begin();
      else await this.goOn();
    } catch {
      // it has ended or is unreachable: keep what is shown
    } finally {
      this.isLooking = false;
    }
  }

  /** Load the last lines, and the number of the next one. */
  async begin(limit = FIRST) {
    const [followed, lines] = await Promise.all([
      this.isLive && this.ask("follow", { uid: this.uid, timeout: 0 }).catch(() => null), this.ask("output", { uid: this.uid, limit }),
    ]);
    this.mayHaveEarlier = lines.length >= limit && limit < MOST;
    this.next = followed?.next ?? null; // unknown to an older service: all is loaded each time
    this.lines = followed ? cutAfter(lines, followed.lines) : lines;
    this.partial = lines.slice(this.lines.length).join("\n");
    this.show();
  }

  /** Load what is new. */
  async goOn() {
    const [followed, [last = ""]] = await Promise.all([
      this.ask("follow", { uid: this.uid, since: this.next, timeout: 0 }), this.ask("output", { uid: this.uid, limit: 1 }),
    ]);
    const { lines, missed, next } = followed;
    const partial = last === (lines.at(-1) ?? this.lines.at(-1)) ? "" : last;
    if (!lines.length && partial === this.partial) return;
    this.next = next;
    const added = missed ? [`… ${missed} lines are not kept …`, ...lines] : lines;
    this.lines.push(...added);
    this.partial = partial;
    if (this.needle) return; // what was found stays
    if (this.lines.length > MOST || !this.text.firstChild) this.show();
    else this.append(added);
  }

  /** Add lines to those shown. */
  append(added) {
    if (added.length) this.complete.appendData(added.join("\n") + "\n");
    this.rest.data = this.partial;
    this.showCount();
    if (this.isFollowing) this.scrollToEnd();
  }

  /** Show all lines anew. */
  show() {
    if (this.needle) return;
    this.lines = this.lines.slice(-MOST);
    this.complete = new Text(this.lines.length ? this.lines.join("\n") + "\n" : "");
    this.rest = new Text(this.partial);
    this.text.replaceChildren(this.complete, this.rest);
    this.showCount();
    if (this.isFollowing) this.scrollToEnd();
  }

  showCount() {
    const count = this.lines.length + (this.partial ? 1 : 0);
    write(this.status, count ? counted(count) : "Nothing was printed yet.");
    this.earlier.hidden = !this.mayHaveEarlier || Boolean(this.needle);
  }

  async loadEarlier() {
    this.setFollowing(false);
    await this.begin(MOST).catch(() => {});
    this.text.focus();
  }

  /** Have the service find the lines with a text, in all that it has kept. */
  async find() {
    const { needle } = this;
    if (!needle) return this.show();
    let found;
    try {
      found = await this.ask("output", { uid: this.uid, grep: needle, limit: MOST }, true);
    } catch ({ message }) {
      return write(this.status, message);
    }
    if (needle !== this.needle) return;
    this.text.replaceChildren(...found.flatMap((line) => [...marked(line, needle), "\n"]));
    write(this.status, found.length ? `${counted(found.length)} with “${needle}”` : `No line has “${needle}”.`);
    this.earlier.hidden = true;
  }
}

const counted = (count) => `${count} ${count === 1 ? "line" : "lines"}`;

/** The lines up to the last of `known`, which they end with, except for what has come since. */
function cutAfter(lines, known) {
  if (!known.length) return [];
  for (let end = lines.length; end > 0; end--)
    if (known.slice(-3).every((line, i, all) => line === lines[end - all.length + i])) return lines.slice(0, end);
  return lines;
}

/** The parts of a line, with each place of a text marked. */
function marked(line, needle) {
  return line.split(needle).flatMap((part, i) => i ? [make("mark", "", needle), part] : [part]);
}
