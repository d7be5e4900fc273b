/** Arguments as typed text: a JSON object, or key=value pairs as for shmz. */

/** A reviver for JSON.parse that rejects integers that would be rounded. */
function rejectInexact(name, value) {
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    throw new Error(`${name || "The number"} is too large to be sent exactly.`);
  return value;
}

/** Parse JSON that a user has typed. Throws an Error to show to the user. */
export function parseJSON(text, subject = "This is") {
  try {
    return JSON.parse(text, rejectInexact);
  } catch (error) {
    throw new Error(error.name === "SyntaxError" ? `${subject} not valid JSON: ${error.message}` : error.message);
  }
}

/** Parse typed arguments. Throws an Error to show to the user. */
export function parseArguments(text) {
  text = text.trim();
  if (!/^[{[]/.test(text)) return parsePairs(text);
  const args = parseJSON(text, "The arguments are");
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

/** The value of a text that is JSON, or else the text itself. */
export function jsonOrText(text) {
  const [, quoted] = text.match(/^'([^']*)'$/) || []; // as in a shell
  try {
    return JSON.parse(quoted ?? text, rejectInexact);
  } catch (error) {
    if (error.name !== "SyntaxError") throw error;
    return quoted ?? text;
  }
}
