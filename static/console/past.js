/** One item that has ended: a line with how, when and why, and its details on demand. */

import { copy, make, toJSON, write } from "./dom.js";
import { Output } from "./output.js";
import { showState } from "./state.js";
import { durationOf, momentOf } from "./terms.js";
import { titleOf } from "./title.js";

const MAX_RESULT = 10000; // characters shown of a result
const SHORT_RESULT = 60; // characters up to which it is a part of the line

export class PastItem {
  /** `ask(cmd, args)` sends a command to the service, `again(item, title)` adds an item again. */
  constructor(item, ask, again) {
    this.ask = ask;
    this.element = copy("history-item");
    this.title = titleOf(item);
    this.toggleButton = this.element.querySelector(".toggle");
    this.toggleButton.ariaLabel = `Details of ${this.title}`;
    this.toggleButton.addEventListener("click", () => this.toggle());
    this.past = this.element.querySelector(".past");
    const button = this.element.querySelector(".again");
    button.ariaLabel = `Again: ${this.title}`;
    button.addEventListener("click", async () => {
      if (button.ariaDisabled === "true") return;
      button.ariaDisabled = "true"; // and not disabled, which would take the focus away
      await again(this.item, this.title);
      button.ariaDisabled = "false";
    });
    this.show(item);
  }

  part(name) {
    return this.element.querySelector("." + name);
  }

  /** What a filter looks for, in lower case. */
  get searched() {
    const { label, type, by, state, reason, uid, args } = this.item;
    return [label, this.title, type, by, state, reason, uid, toJSON(args)].join(" ").toLowerCase();
  }

  /** Show the item. What is known of its end may change until its last process is gone. */
  show(item) {
    this.item = item;
    const { type, state, ended, by, seconds, reason, result } = item, text = asText(result);
    this.element.dataset.outcome = state;
    showState(this.part("outcome"), state);
    write(this.part("title"), this.title);
    this.part("title").title = this.title;
    write(this.part("type"), this.title === type ? "" : type);
    const time = this.part("time");
    write(time, momentOf(ended, true)); // all of a list in the same form
    time.dateTime = ended;
    time.title = new Date(ended).toLocaleString();
    write(this.part("facts"), [by && `by ${by}`, typeof seconds === "number" && durationOf(seconds, 1)].filter(Boolean).join(", "));
    write(this.part("reason"), reason || "");
    this.part("reason").title = reason || "";
    write(this.part("result"), text.length <= SHORT_RESULT && !text.includes("\n") ? text : "");
  }

  toggle() {
    const isOpen = this.past.hidden;
    this.past.hidden = !isOpen;
    this.toggleButton.ariaExpanded = String(isOpen);
    if (isOpen) this.open();
    else this.output?.close();
  }

  /** Show all that is known, and ask for what the history does not have: output and last errors. */
  async open() {
    const { item } = this, { args, reason, result, batch, schedule, added, uid, type } = item;
    const facts = [type, uid, added && `added ${new Date(added).toLocaleString()}`, batch && `batch ${batch}`, schedule && `of schedule ${schedule.slice(0, 8)}`];
    this.past.replaceChildren(make("p", "hint", facts.filter(Boolean).join(" · ")), make("p", "reason", reason || ""));
    if (Object.keys(args || {}).length) this.past.append(block("Arguments", toJSON(args, 2), this.title));
    const text = asText(result);
    if (text) this.past.append(block("Result", text.length > MAX_RESULT ? `${text.slice(0, MAX_RESULT)}…` : text, this.title));
    const all = await this.ask("item", { uid }).catch(() => ({}));
    if (all.ladder) this.past.append(make("p", "hint", `Last state: ${all.state_at_end}, ended with ${all.ladder}`));
    const isKept = await this.ask("output", { uid, limit: 1 }).then(() => true, () => false);
    if (isKept) {
      this.output = new Output(uid, this.title, this.ask, false);
      this.past.append(this.output.element);
      this.output.open();
    } else if (all.stderr_tail?.length) this.past.append(block("Last lines of standard error", all.stderr_tail.join("\n"), this.title));
  }
}

/** A text in a box with its name. */
function block(name, text, title) {
  const element = make("div", "block"), box = make("pre", "output", text);
  box.tabIndex = 0;
  box.role = "group";
  box.ariaLabel = `${name} of ${title}`;
  element.append(make("p", "hint", name), box);
  return element;
}

/** What a job has returned: a text as it is, anything else as JSON; empty if there is nothing. */
function asText(result) {
  if (result === null || result === undefined) return "";
  if (typeof result === "string") return result;
  const line = toJSON(result);
  return line.length > SHORT_RESULT ? toJSON(result, 2) : line;
}
