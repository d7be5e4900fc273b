/** A parameter of a module, shown as what it is: a progress, a number with its past, a link, an image, a text. */

import { make, toJSON, write } from "./dom.js";
import { Plot } from "./plot.js";

const SHORT = 40; // characters that fit beside others
const LONG = 20000; // characters that are shown
const MANY = 500; // lines, likewise

const isNumber = (value) => typeof value === "number" || typeof value === "bigint";

/** A number to six digits, or more where there are more before the point. */
export function number(value) {
  if (typeof value === "bigint" || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(Math.abs(value) < 1e6 ? 6 : 15)));
}

/** A value for people: text as it is, lines as lines, the beginning of what is very long. */
export function readable(value) {
  if (isNumber(value)) return number(value);
  let text = value;
  if (Array.isArray(value) && value.length && value.slice(0, MANY).every((line) => typeof line === "string")) {
    text = value.slice(0, MANY).join("\n");
    if (value.length > MANY) text += `\n… ${value.length - MANY} more lines`;
  } else if (typeof value !== "string") text = toJSON(value);
  return text.length > LONG ? `${text.slice(0, LONG)}… ${text.length - LONG} more characters` : text;
}

/** Which of the kinds below a value is. */
function kindOf(name, value) {
  if (isNumber(value)) return name === "progress" && value >= 0 && value <= 1 ? "progress" : "number";
  if (typeof value !== "string") return "text";
  if (/^data:image\//i.test(value)) return "image";
  const isPlace = name === "image" || name === "url"; // so a path will do
  if (!(isPlace ? /^(https?:\/|\.{0,2})\/\S+$/i : /^https?:\/\/\S+$/i).test(value)) return "text";
  if (!URL.canParse(value, document.baseURI)) return "text";
  return name === "image" ? "image" : "link";
}

/** Each makes the content of a `dd`, and gives a function that shows a value there. */
const KINDS = {
  progress(place) {
    const bar = make("progress", ""), text = make("span", "");
    bar.max = 1;
    bar.ariaLabel = "progress";
    place.replaceChildren(bar, text);
    return (value) => {
      bar.value = value;
      write(text, `${Math.floor(100 * value + 1e-9)} %`); // 0.29 * 100 is a little less than 29
    };
  },

  number(place, name) {
    const text = make("span", ""), plot = new Plot(name, number);
    place.replaceChildren(text, plot.element);
    return (value) => {
      write(text, number(value));
      plot.add(Number(value));
      plot.draw();
    };
  },

  link(place) {
    const link = make("a", "");
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    place.replaceChildren(link);
    return (value) => {
      link.href = value;
      write(link, value);
    };
  },

  image(place, name) {
    const image = make("img", "");
    image.alt = name;
    image.loading = "lazy";
    image.referrerPolicy = "no-referrer";
    place.replaceChildren(image);
    return (value) => { image.src = value; };
  },

  text(place) {
    place.replaceChildren();
    return (value) => write(place, readable(value));
  },
};

export class Parameter {
  #kind = null;
  #value;
  #show;

  constructor(name) {
    this.name = name;
    this.element = make("div", "");
    this.place = make("dd", "");
    this.element.append(make("dt", "", name), this.place);
  }

  show(value) {
    const same = value === this.#value;
    if (same && this.#kind !== "number") return; // a plot goes on
    this.#value = value;
    const kind = same ? this.#kind : kindOf(this.name, value);
    if (kind !== this.#kind) {
      this.#kind = this.element.dataset.kind = kind;
      this.#show = KINDS[kind](this.place, this.name);
    }
    this.#show(value);
    if (same) return;
    const long = kind === "text" && (this.place.textContent.length > SHORT || this.place.textContent.includes("\n"));
    this.element.classList.toggle("long", long || kind === "progress" || kind === "image" || kind === "link");
    // What can be scrolled must be reached by keyboard, too.
    if (long) this.place.tabIndex = 0;
    else if (document.activeElement !== this.place) this.place.removeAttribute("tabindex");
  }
}
