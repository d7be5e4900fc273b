/** Forms that send a command with arguments, and remember the arguments used last. */

import { announce, copy, toJSON, write } from "./dom.js";

const MAX_REMEMBERED = 8; // arguments per command
const MAX_ANSWER = 100000; // characters shown
let count = 0;

/** A reviver for JSON.parse that rejects integers that would be rounded. */
function rejectInexact(name, value) {
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    throw new Error(`${name || "The number"} is too large to be sent exactly.`);
  return value;
}

/** Parse typed arguments: a JSON object, or key=value pairs as for shmz. Throws an Error to show to the user. */
export function parseArguments(text) {
  text = text.trim();
  if (!/^[{[]/.test(text)) return parsePairs(text);
  let args;
  try {
    args = JSON.parse(text, rejectInexact);
  } catch (error) {
    throw new Error(`The arguments are not valid JSON: ${error.message}`);
  }
  if (Array.isArray(args)) throw new Error('The arguments must be a JSON object such as {"seconds": 30}.');
  return args;
}

const KEY = "[\\p{L}_][\\p{L}\\p{N}_.-]*";
/** A key and its value: quoted, or everything up to the next key. */
const PAIR = new RegExp(`(${KEY})=('[^']*'|"(?:[^"\\\\]|\\\\.)*"|.*?)(?=\\s+${KEY}=|\\s*$)\\s*`, "suy");

/** Parse key=value pairs separated by spaces. Only a value that contains another `key=` needs quotes. */
function parsePairs(text) {
  const args = new Map();
  PAIR.lastIndex = 0;
  for (let found; PAIR.lastIndex < text.length; args.set(found[1], jsonOrText(found[2]))) {
    found = PAIR.exec(text);
    if (!found) throw new Error('Enter arguments as seconds=30, or as a JSON object such as {"seconds": 30}.');
    if (args.has(found[1])) throw new Error(`${found[1]} is given twice.`);
  }
  return Object.fromEntries(args);
}

function jsonOrText(text) {
  const [, quoted] = text.match(/^'([^']*)'$/) || []; // as in a shell
  try {
    return JSON.parse(quoted ?? text, rejectInexact);
  } catch (error) {
    if (error.name !== "SyntaxError") throw error;
    return quoted ?? text;
  }
}

/** The arguments used last with a command, most recent first. Empty if the browser stores nothing. */
function remembered(key) {
  try {
    return JSON.parse(localStorage.getItem(`shmooze ${BASE_URL} ${key}`)) || [];
  } catch {
    return [];
  }
}

function remember(key, text) {
  const texts = [text, ...remembered(key).filter((each) => each !== text)].slice(0, MAX_REMEMBERED);
  try {
    localStorage.setItem(`shmooze ${BASE_URL} ${key}`, JSON.stringify(texts));
  } catch {
    // private browsing or a full disk
  }
}

/**
 * A form made from the template `type-form` (a type is chosen from a list) or `command-form` (a command is typed).
 * `send(name, args)` returns a promise. A command form shows its value as the answer.
 */
export class Form {
  /** `caption` is the text of the button, `label` the form's accessible name, `scope` the key of what it remembers. */
  constructor(id, caption, label, scope, send) {
    const number = count++;
    this.scope = scope;
    this.send = send;
    this.element = copy(id);
    this.element.ariaLabel = label;
    this.choice = this.element.elements.choice;
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
    this.choice.addEventListener("change", () => this.recall());
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  /** Set the types to choose from, or the commands to suggest. */
  setNames(names) {
    const options = names.map((name) => new Option(name, name)); // the text alone would lose whitespace
    if (this.choice.list) this.choice.list.replaceChildren(...options);
    else {
      const chosen = this.choice.value;
      this.choice.replaceChildren(...options);
      if (names.includes(chosen)) this.choice.value = chosen;
      this.element.hidden = names.length === 0;
    }
    if (!this.args.value) this.recall();
  }

  get key() {
    return `${this.scope} ${this.choice.value}`;
  }

  /** Fill in the arguments used last, unless the user has typed something else. */
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
    write(this.answer, answer.length > MAX_ANSWER ? `${answer.slice(0, MAX_ANSWER)}…` : answer);
    const lines = answer.split("\n").length;
    announce(lines > 1 ? `Answer with ${lines} lines` : `Answer: ${answer}`);
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
      const answer = await this.send(this.choice.value, args);
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
