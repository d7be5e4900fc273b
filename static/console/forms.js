/** Forms that send a command with arguments; the last ones used are at hand. */

import { announce, copy, toJSON, write } from "./dom.js";

const REMEMBERED = 8;
const LONG = 100000; // characters of an answer that are shown
let count = 0;

/** For JSON.parse: no number that would be another one when it is sent. */
function exactly(name, value) {
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) throw new Error(`the number ${name || value} is too large`);
  return value;
}

/** The arguments that a person typed, as a JSON object or as for shmz. Throws an Error that says what is wrong with them. */
export function parseArguments(text) {
  text = text.trim();
  if (!/^[{[]/.test(text)) return parsePairs(text);
  let args;
  try {
    args = JSON.parse(text, exactly);
  } catch (error) {
    throw new Error(`The arguments are not valid JSON: ${error.message}`);
  }
  if (Array.isArray(args)) throw new Error('The arguments must be a JSON object, such as {"seconds": 30}.');
  return args;
}

const KEY = "[\\p{L}_][\\p{L}\\p{N}_.-]*";
/** A key and its value: in quotes, or all up to the next key. */
const PAIR = new RegExp(`(${KEY})=('[^']*'|"(?:[^"\\\\]|\\\\.)*"|.*?)(?=\\s+${KEY}=|\\s*$)\\s*`, "suy");

/** key=value, separated by spaces. Quotes are needed only where something like a key stands in a value. */
function parsePairs(text) {
  const args = new Map();
  PAIR.lastIndex = 0;
  for (let found; PAIR.lastIndex < text.length; args.set(found[1], jsonOrText(found[2]))) {
    found = PAIR.exec(text);
    if (!found) throw new Error('The arguments must be like seconds=30, or a JSON object, such as {"seconds": 30}.');
    if (args.has(found[1])) throw new Error(`${found[1]} is given twice`);
  }
  return Object.fromEntries(args);
}

function jsonOrText(text) {
  const [, quoted] = text.match(/^'([^']*)'$/) || []; // as in a shell
  try {
    return JSON.parse(quoted ?? text, exactly);
  } catch (error) {
    if (error.name !== "SyntaxError") throw error;
    return quoted ?? text;
  }
}

/** The arguments last used for something, the latest first. A browser may keep none. */
function remembered(key) {
  try {
    return JSON.parse(localStorage.getItem(`shmooze ${BASE_URL} ${key}`)) || [];
  } catch {
    return [];
  }
}

function remember(key, text) {
  const texts = [text, ...remembered(key).filter((each) => each !== text)].slice(0, REMEMBERED);
  try {
    localStorage.setItem(`shmooze ${BASE_URL} ${key}`, JSON.stringify(texts));
  } catch {
    // private windows, a full disk
  }
}

/**
 * A copy of the template `order` (what to send is chosen) or `command` (it is typed).
 * `send(what, args)` gives a promise; its value, if there is one, is shown as the answer.
 */
export class Form {
  /** `caption` stands on the button; `label` is the whole name; `scope` tells its memory from others'. */
  constructor(id, caption, label, scope, send) {
    const number = count++;
    this.scope = scope;
    this.send = send;
    this.element = copy(id);
    this.element.ariaLabel = label;
    this.what = this.element.elements.what;
    this.args = this.element.elements.args;
    this.problem = this.element.querySelector(".problem");
    this.answer = this.element.querySelector(".answer");
    this.element.querySelector("button").textContent = caption;
    this.problem.id = `problem-${number}`;
    this.args.setAttribute("aria-describedby", this.problem.id);
    for (const list of this.element.querySelectorAll("datalist")) {
      list.id = `${list.className}-${number}`;
      this[list.className].setAttribute("list", list.id);
    }
    this.what.addEventListener("change", () => this.recall());
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  /** Have these to choose from, or to be suggested. */
  offer(names) {
    const options = names.map((name) => new Option(name, name)); // its text alone would lose white space
    if (this.what.list) this.what.list.replaceChildren(...options);
    else {
      const chosen = this.what.value;
      this.what.replaceChildren(...options);
      if (names.includes(chosen)) this.what.value = chosen;
      this.element.hidden = names.length === 0;
    }
    if (!this.args.value) this.recall();
  }

  get key() {
    return `${this.scope} ${this.what.value}`;
  }

  /** Fill in what was last used for this, unless something of the person's own stands there. */
  recall() {
    const texts = this.suggest();
    if (!this.args.value || this.args.value === this.filled) this.args.value = texts[0] || "";
    this.filled = this.args.value;
  }

  suggest() {
    const texts = remembered(this.key);
    this.args.list.replaceChildren(...texts.filter(Boolean).map((text) => new Option(text, text)));
    return texts;
  }

  show(answer) {
    write(this.answer, answer.length > LONG ? `${answer.slice(0, LONG)}…` : answer);
    const lines = answer.split("\n").length;
    announce(lines > 1 ? `answer of ${lines} lines` : `answer: ${answer}`);
  }

  async submit() {
    write(this.problem, "");
    this.args.ariaInvalid = "false";
    let args;
    try {
      args = parseArguments(this.args.value);
    } catch (error) {
      write(this.problem, error.message);
      this.args.ariaInvalid = "true";
      this.args.focus();
      return;
    }
    const { key } = this, text = this.args.value.trim();
    try {
      const answer = await this.send(this.what.value, args);
      if (this.answer) this.show(toJSON(answer, 2) ?? "null");
      remember(key, text);
      if (key === this.key) {
        this.filled = text;
        this.suggest();
      }
    } catch (error) {
      if (this.answer) write(this.answer, "");
      write(this.problem, error.message);
    }
  }
}
