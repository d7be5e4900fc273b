/**
 * One parameter of a module, displayed by its kind: progress bar, number with a plot, link, image, text and so on.
 *
 * The kind follows from the `role` of its schema, where there is one, from its name and from its value. A value that
 * does not fit the role is displayed like any other.
 */

import { make, toJSON, write } from "./dom.js";
import { Plot } from "./plot.js";

const SHORT = 40; // characters that fit next to other parameters
const MAX_CHARS = 20000; // characters shown
const MAX_LINES = 500; // lines shown

const isNumber = (value) => typeof value === "number" || typeof value === "bigint";

/** A number with six significant digits, or all digits before the decimal point. */
export function number(value) {
  if (typeof value === "bigint" || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(Math.abs(value) < 1e6 ? 6 : 15)));
}

/** A value as readable text: strings as they are, a list of strings as lines, long values cut. */
export function readable(value) {
  if (isNumber(value)) return number(value);
  let text = value;
  if (Array.isArray(value) && value.length && value.slice(0, MAX_LINES).every((line) => typeof line === "string")) {
    text = value.slice(0, MAX_LINES).join("\n");
    if (value.length > MAX_LINES) text += `\n… ${value.length - MAX_LINES} more lines`;
  } else if (typeof value !== "string") text = toJSON(value);
  return text.length > MAX_CHARS ? `${text.slice(0, MAX_CHARS)}… ${text.length - MAX_CHARS} more characters` : text;
}

/** The last lines of a text or list. */
function tail(value) {
  const lines = (Array.isArray(value) ? value : value.split("\n")).slice(-MAX_LINES);
  return lines.join("\n").slice(-MAX_CHARS);
}

/** Seconds as 0:12 or 1:02:03. */
export function clockTime(seconds) {
  const whole = Math.floor(Math.abs(Number(seconds))), two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  const text = hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  return seconds < 0 && whole ? `-${text}` : text;
}

const isText = (value) => typeof value === "string" || (Array.isArray(value) && value.every((line) => typeof line === "string"));

/** The kind of a value with a role: a key of KINDS. */
function kindOf(role, value) {
  if (role === "time" && isNumber(value)) return "time";
  if (role === "status" && typeof value !== "object") return "status";
  if (isNumber(value)) return role === "progress" && value >= 0 && value <= 1 ? "progress" : "number";
  if (role === "log" && isText(value)) return "log";
  if (typeof value !== "string") return "text";
  if (role === "title") return "title";
  if (/^data:image\//i.test(value)) return "image";
  const allowsPath = role === "image" || role === "url"; // without a host
  if (!(allowsPath ? /^(https?:\/|\.{0,2})\/\S+$/i : /^https?:\/\/\S+$/i).test(value)) return "text";
  if (!URL.canParse(value, document.baseURI)) return "text";
  return role === "image" ? "image" : "link";
}

/** Each function fills a `dd` and returns a function that shows a value in it. */
const KINDS = {
  progress(element, name) {
    const bar = make("progress", ""), text = make("span", "");
    bar.max = 1;
    bar.ariaLabel = name;
    element.replaceChildren(bar, text);
    return (value) => {
      bar.value = value;
      write(text, `${Math.floor(100 * value + 1e-9)} %`); // 0.29 * 100 is slightly less than 29
    };
  },

  number(element, name, unit, trace) {
    const readable = (value) => unit ? `${number(value)} ${unit}` : number(value);
    const text = make("span", ""), plot = new Plot(name, readable, { trace });
    element.replaceChildren(text, plot.element);
    return (value) => {
      write(text, readable(value));
      plot.add(Number(value));
      plot.draw();
    };
  },

  link(element) {
    const link = make("a", "");
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    element.replaceChildren(link);
    return (value) => {
      link.href = value;
      write(link, value);
    };
  },

  image(element, name) {
    const image = make("img", "");
    image.alt = name;
    image.loading = "lazy";
    image.referrerPolicy = "no-referrer";
    element.replaceChildren(image);
    return (value) => { image.src = value; };
  },

  text(element) {
    element.replaceChildren();
    return (value) => write(element, readable(value));
  },

  title(element) {
    element.replaceChildren();
    return (value) => write(element, readable(value));
  },

  time(element) {
    element.replaceChildren();
    return (value) => write(element, clockTime(value));
  },

  status(element) {
    const badge = make("span", "badge");
    element.replaceChildren(badge);
    return (value) => write(badge, readable(value));
  },

  /** The style keeps it scrolled to the end. */
  log(element) {
    const lines = make("div", "");
    element.replaceChildren(lines);
    return (value) => write(lines, tail(value));
  },
};

const WIDE = new Set(["progress", "image", "link", "log", "title"]);
const ROLES_BY_NAME = new Set(["progress", "image", "url"]); // names that are a role, too

export class Parameter {
  #kind = null;
  #value;
  #show;

  /** `schema` describes its values: {title, description, unit, role}, each optional. `trace` has those of a number. */
  constructor(name, { title, description, unit, role } = {}, trace = undefined) {
    this.trace = trace;
    this.label = title || name;
    this.unit = unit;
    this.role = role || (ROLES_BY_NAME.has(name) ? name : undefined);
    this.element = make("div", "");
    this.valueElement = make("dd", "");
    const term = make("dt", "", this.label);
    term.title = description || "";
    this.element.append(term, this.valueElement);
  }

  show(value) {
    const same = value === this.#value;
    if (same && this.#kind !== "number") return; // a plot continues in time
    this.#value = value;
    const kind = same ? this.#kind : kindOf(this.role, value);
    if (kind !== this.#kind) {
      this.#kind = this.element.dataset.kind = kind;
      this.#show = KINDS[kind](this.valueElement, this.label, this.unit, this.trace);
    }
    this.#show(value);
    if (same) return;
    const { textContent } = this.valueElement;
    const long = kind === "text" && (textContent.length > SHORT || textContent.includes("\n"));
    this.element.classList.toggle("long", long || WIDE.has(kind));
    // What scrolls must be reachable by keyboard, too.
    if (long || kind === "log") this.valueElement.tabIndex = 0;
    else if (document.activeElement !== this.valueElement) this.valueElement.removeAttribute("tabindex");
  }
}
