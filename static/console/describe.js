/** What a service says of itself: its commands and its types of modules, as the command `describe` answers. */

import { toJSON } from "./dom.js";

const NOTHING = Object.freeze({});

/** A value that must be an object, as one. */
const asObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value) ? value : NOTHING;

export class Descriptions {
  #known = NOTHING;
  #text = "";

  /** `ask(cmd, args, now)` sends a command to the service and returns a promise. */
  constructor(ask) {
    this.ask = ask;
  }

  /** Ask the service again. Returns whether its answer is another one than before. */
  async refresh() {
    let answer;
    try {
      answer = asObject(await this.ask("describe", {}, true)); // a request of its own: it may take a while
    } catch ({ message }) {
      if (!message.startsWith("unknown command")) return false; // such as a service that is down: keep what is known
      answer = NOTHING; // of an earlier version
    }
    const text = toJSON(answer), isNew = text !== this.#text;
    this.#known = answer;
    this.#text = text;
    return isNew;
  }

  get commands() {
    return Object.fromEntries(Object.entries(asObject(this.#known.commands)).filter(([, each]) => asObject(each) === each));
  }

  /** The description of a type: of those that `add` takes, or of backgrounds. {} if there is none. */
  type(name, isBackground = false) {
    const types = asObject(isBackground ? this.#known.backgrounds : this.#known.modules);
    return Object.hasOwn(types, name) ? asObject(types[name]) : NOTHING;
  }
}
