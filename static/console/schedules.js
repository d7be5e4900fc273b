/** The schedules of a service: what each adds, its next times, and a form that adds one. */

import { Confirmation } from "./confirmation.js";
import { announce, arrange, copy, make, write } from "./dom.js";
import { Form } from "./forms.js";
import { whenReleased } from "./press.js";
import { durationOf, momentOf } from "./terms.js";
import { titleOf } from "./title.js";

/** Arguments of `schedule` in the order of their fields. Others that the service describes come last. */
const FIELDS = ["args", "cron", "every", "at", "tz", "until", "missed", "overlap", "label", "priority"];
const NO_FIELD = new Set(["type", "id", "key"]);

export class Schedules {
  /**
   * `ask(cmd, args, now)` sends a command to the service, `perform(cmd, args, announcement)` one of the user.
   * `describe(type)` returns the description of a type, `command(cmd)` that of a command, {} if there is none.
   */
  constructor(name, { ask, perform, describe, command }) {
    Object.assign(this, { ask, perform, describe, command });
    this.element = copy("schedules");
    this.list = this.element.querySelector("ol");
    this.hint = this.element.querySelector(".hint");
    this.summary = this.element.querySelector("summary");
    this.rows = new Map(); // by id: an element
    this.all = [];
    this.confirmation = new Confirmation(() => this.summary.focus());
    const send = async (type, args) => {
      await ask("schedule", { type, ...args }, true);
      announce(`${type} scheduled`);
      this.refresh();
    };
    this.form = new Form("type-form", "Schedule", `Schedule in ${name}`, `${name} schedule`, send,
      (type) => this.describeForm(type));
    this.form.element.hidden = true; // until its types are known
    this.element.querySelector(".new-schedule").append(this.form.element);
    this.element.addEventListener("toggle", () => this.refresh());
  }

  /** What the form asks for: the arguments of the type, and when. */
  describeForm(type) {
    const { title, description, args } = this.describe(type), { args: own = {} } = this.command("schedule");
    if (!own.properties) return { title, description };
    const others = Object.keys(own.properties).filter((name) => !NO_FIELD.has(name) && !FIELDS.includes(name));
    const names = [...FIELDS, ...others].filter((name) => own.properties[name]);
    const properties = Object.fromEntries(names.map((name) => [name, own.properties[name]]));
    properties.args = { ...(args?.properties ? args : { type: "object" }), title: "Arguments", description: "" };
    if (args?.properties) properties.args.type = "object";
    const required = args?.required?.length ? ["args"] : [], $defs = { ...own.$defs, ...args?.$defs };
    return { title, description, args: { type: "object", properties, required, $defs, additionalProperties: false } };
  }

  /** Load them. While it is closed only their number is shown. */
  async refresh() {
    let all;
    try {
      all = await this.ask("schedules");
    } catch ({ message }) {
      return write(this.hint, message);
    }
    whenReleased(() => this.show(all));
  }

  show(all) {
    this.all = all;
    write(this.summary, all.length ? `Schedules (${all.length})` : "Schedules");
    write(this.hint, all.length ? "" : "Nothing is scheduled.");
    if (!this.element.open) return;
    const hadFocus = this.list.contains(document.activeElement);
    this.rows = new Map(all.map((each) => [each.id, this.fill(this.rows.get(each.id) || this.newRow(each.id), each)]));
    arrange(this.list, [...this.rows.values()]);
    if (hadFocus && !this.list.contains(document.activeElement)) this.summary.focus();
  }

  newRow(id) {
    const element = copy("schedule");
    element.querySelector(".remove").addEventListener("click", () => {
      const title = titleOf(this.all.find((each) => each.id === id));
      element.append(this.confirmation.element);
      this.confirmation.ask(`Remove the schedule of ${title}? What it has added stays.`, "Remove", () => this.remove(id, title));
    });
    return element;
  }

  fill(element, schedule) {
    const { type, next = [], last, problem, by } = schedule, title = titleOf(schedule);
    const part = (name) => element.querySelector("." + name);
    write(part("title"), title);
    write(part("type"), title === type ? "" : type);
    write(part("rule"), [ruleOf(schedule), by && `by ${by}`].filter(Boolean).join(" · "));
    write(part("last"), lastOf(last));
    write(part("problem"), problem || "");
    part("remove").ariaLabel = `Remove the schedule of ${title}`;
    part("next").replaceChildren(...next.map(timeOf));
    return element;
  }

  async remove(id, title) {
    await this.perform("unschedule", { id }, `schedule of ${title} removed`);
    this.refresh();
  }
}

/** When it adds something: "cron 0 8 * * mon-fri (Europe/Berlin)". */
function ruleOf({ cron, every, at, tz, until, missed, overlap, priority }) {
  const when = cron ? `cron ${cron}` : every ? `every ${durationOf(every)}` : `at ${momentOf(at)}`;
  return [
    when + (tz ? ` (${tz})` : ""), until && `until ${momentOf(until)}`, priority && `priority ${priority}`,
    missed !== "skip" && `missed: ${missed}`, overlap !== "skip" && `overlap: ${overlap}`,
  ].filter(Boolean).join(" · ");
}

/** What came of its last time. */
function lastOf(last) {
  if (!last) return "";
  return `last at ${momentOf(last.time)}: ${last.uid ? `added ${last.uid.slice(0, 8)}` : last.reason || "nothing"}`;
}

/** A time as the clocks of the schedule's zone show it, which its text has before the offset. */
function timeOf(text) {
  const element = make("time", ""), local = new Date(`${text.slice(0, 19)}Z`);
  const parts = { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: "UTC" };
  if (local.getUTCSeconds()) parts.second = "2-digit";
  element.dateTime = text;
  element.title = text;
  element.textContent = isNaN(local) ? text : local.toLocaleString([], parts);
  const item = make("li", "");
  item.append(element);
  return item;
}
