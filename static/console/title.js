/** Titles of items: what tells people one item from others of its type. */

/** Keys of args whose value tells most, the best one first. */
const KEYS = ["label", "title", "name", "file", "filename", "path", "url", "uri"];
const LIKE_A_FILE = /^(\w+:\/\/|~?\/|\.\.?\/)/;

/** The title of an item: its label if its type describes one, one of its args, or else its type. */
export function titleOf({ type, label, args = {} }) {
  if (label) return label;
  const texts = Object.entries(args || {}).filter(([, value]) => typeof value === "string" && value.trim());
  const known = new Map(texts);
  const key = KEYS.find((each) => known.has(each));
  if (key) return known.get(key);
  const file = texts.find(([, value]) => LIKE_A_FILE.test(value));
  return file ? file[1] : type;
}
