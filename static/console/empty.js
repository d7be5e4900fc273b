/** What stands in an empty list: what belongs there, and a command that makes a beginning. */

import { copyable } from "./clipboard.js";
import { make } from "./dom.js";

const TYPES = '{"modules": {"hello": {"process": ["python3", "hello.py"]}}}';
const STATE_PATH = '"state_path": "$HERE/state.db"';

/** Show a text and, below it, a command or setting to copy. Does nothing if the same is shown already. */
export function teach(element, text, example = "") {
  const key = `${text} ${example}`;
  if (element.dataset.shown === key) return;
  element.dataset.shown = key;
  element.replaceChildren(...text ? [make("span", "", text)] : [], ...example ? [copyable(example)] : []);
}

/** A value of an argument, as an example: one that its schema gives, or a simple one of its type. */
function exampleOf({ examples = [], enum: values = [], type, minimum = 1 }) {
  const found = examples[0] ?? values[0];
  if (found !== undefined) return String(found);
  return type === "integer" || type === "number" ? String(Math.max(minimum, 1)) : "text";
}

/** The command that adds an item of a type, for a shell. */
function commandOf(name, type, { args = {} }) {
  const { properties = {}, required = [] } = args;
  const words = required.filter((each) => properties[each]).map((each) => `${each}=${exampleOf(properties[each])}`);
  return ["shmz", "-e", name, "add", type, ...words].map(quoted).join(" ");
}

const quoted = (word) => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** An empty queue or pool. `types` is null until they are known; `describe(type)` returns a description. */
export function teachRoster(element, name, types, describe) {
  if (types === null) return teach(element, "No modules yet.");
  if (!types.length) return teach(element, "No modules yet, and no type to add. Name one in the settings:", `${JSON.stringify(name)}: ${TYPES}`);
  teach(element, "No modules yet. Add one with the form, or in a shell:", commandOf(name, types[0], describe(types[0])));
}

/** A history that says why it has nothing. */
export function teachHistory(element, problem) {
  if (!problem) return teach(element, "Nothing has ended yet. What ends is listed here, with the reason, and can be added again.");
  if (problem.includes("state_path")) return teach(element, `${problem}:`, STATE_PATH);
  teach(element, problem);
}
