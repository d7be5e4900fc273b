/** One parameter of a module, displayed by its kind: progress bar, number with a plot, link, image or text. */

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

/** The kind of a value: a key of KINDS. */
function kindOf(name, value) {
  if (isNumber(value)) return name === "progress" && value >= 0 && value <= 1 ? "progress" : "number";
  if (typeof value !== "string") return "text";
  if (/^data:image\//i.test(value)) return "image";
  const allowsPath = name === "image" || name === "url"; // without a host
  if (!(allowsPath ? /^(https?:\/|\.{0,2})\/\S+$/i : /^https?:\/\/\S+$/i).test(value)) return "text";
  if (!URL.canParse(value, document.baseURI)) return "text";
  return name === "image" ? "image" : "link";
}

/** Each function fills a `dd` and returns a function that shows a value in it. */
const KINDS = {
  progress(element) {
    const bar = make("progress", ""), text = make("span", "");
    bar.max = 1;
    bar.ariaLabel = "progress";
    element.replaceChildren(bar, text);
    return (value) => {
      bar.value = value;
      write(text, `${Math.floor(100 * value + 1e-9)} %`); // 0.29 * 100 is slightly less than 29
    };
  },

  number(element, name) {
    const text = make("span", ""), plot = new Plot(name, number);
    element.replaceChildren(text, plot.element);
    return (value) => {
      write(text, number(value));
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
};

export class Parameter {
  #kind = null;
  #value;
  #show;

  constructor(name) {
    this.name = name;
    this.element = make("div", "");
    this.valueElement = make("dd", "");
    this.element.append(make("dt", "", name), this.valueElement);
  }

  show(value) {
    const same = value === this.#value;
    if (same && this.#kind !== "number") return; // a plot continues in time
    this.#value = value;
    const kind = same ? this.#kind : kindOf(this.name, value);
    if (kind !== this.#kind) {
      this.#kind = this.element.dataset.kind = kind;
      this.#show = KINDS[kind](this.valueElement, this.name);
    }
    this.#show(value);
    if (same) return;
    const { textContent } = this.valueElement;
    const long = kind === "text" && (textContent.length > SHORT || textContent.includes("\n"));
    this.element.classList.toggle("long", long || kind === "progress" || kind === "image" || kind === "link");
    // What scrolls must be reachable by keyboard, too.
    if (long) this.valueElement.tabIndex = 0;
    else if (document.activeElement !== this.valueElement) this.valueElement.removeAttribute("tabindex");
  }
}
