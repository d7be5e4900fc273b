/**
 * Reads JSON Schemas (2020-12) for the forms: which kind of field fits a value.
 *
 * Only what changes a field is read here. The service checks every value against the whole schema.
 */

import { toJSON } from "./dom.js";

const MAX_DEPTH = 3; // levels of nested objects that are shown as fields; deeper ones are edited as JSON
const LONG_TEXTS = ["textarea", "multiline", "markdown"]; // as `format`; besides `contentMediaType`: text/…

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The schema that a reference within `root` stands for; {} if there is none. */
function referred(reference, root) {
  let found = root;
  for (const part of reference.replace(/^#\/?/, "").split("/").filter(Boolean)) {
    const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    found = isObject(found) && Object.hasOwn(found, key) ? found[key] : null;
  }
  return isObject(found) ? found : {};
}

/**
 * A schema with its references and lone alternatives replaced by what they stand for. `nullable` says
 * whether null is allowed besides; `choices` lists the values allowed, as [value, text], if they are few.
 */
export function flatten(schema, root, path = []) {
  if (!isObject(schema) || path.includes(schema.$ref)) return {}; // `path`: the references followed so far
  const { $ref, anyOf, oneOf, allOf, ...own } = schema;
  let flat = own;
  if (typeof $ref === "string") {
    path = [...path, $ref];
    flat = { ...flatten(referred($ref, root), root, path), ...own };
  }
  if (allOf?.length === 1) flat = { ...flatten(allOf[0], root, path), ...flat };
  const alternatives = (anyOf || oneOf)?.map((each) => flatten(each, root, path));
  if (alternatives) {
    const others = alternatives.filter(({ type }) => type !== "null");
    const nullable = others.length < alternatives.length;
    const choices = others.flatMap((each) => each.choices || [null]);
    if (others.length === 1) flat = { ...others[0], ...flat };
    else if (choices.every(Boolean)) flat = { choices, ...flat };
    else if (others.every(({ type }) => type === "integer" || type === "number")) flat = { type: "number", ...flat };
    else flat = { type: "mixed", types: others.map(({ type }) => type), ...flat };
    if (nullable) flat = { ...flat, nullable };
  }
  if (Array.isArray(flat.type)) {
    const types = flat.type.filter((type) => type !== "null");
    const nullable = types.length < flat.type.length || flat.nullable;
    flat = { ...flat, types, nullable, type: types.length === 1 ? types[0] : "mixed" };
  }
  if ("const" in flat) flat = { ...flat, choices: [[flat.const, flat.title]] };
  if (Array.isArray(flat.enum)) {
    const values = flat.enum.filter((value) => value !== null);
    flat = { ...flat, choices: values.map((value) => [value]), nullable: values.length < flat.enum.length || flat.nullable };
  }
  return flat;
}

/** The kind of field for a flattened schema: a key of KINDS in controls.js. */
export function kindOf(flat, root, depth) {
  const { type, choices, format = "", writeOnly } = flat;
  if (choices) return "choice";
  if (type === "boolean") return flat.nullable ? "choice" : "switch";
  if (type === "string" && !writeOnly && isLong(flat)) return "long";
  if (type === "string" && !writeOnly && format === "time") return "time";
  if (type === "string") return writeOnly || format === "password" ? "secret" : "text";
  if (type === "integer" || type === "number") return writeOnly ? "secret" : "number";
  if (type === "array") return kindOfList(flat, root);
  if (type === "object") return flat.properties && !flat.additionalProperties && depth < MAX_DEPTH ? "group" : "json";
  const isComplex = flat.types?.some((each) => !["string", "number", "integer", "boolean"].includes(each));
  return writeOnly ? "secret" : isComplex ? "json" : "any";
}

function isLong({ format, contentMediaType = "", default: value }) {
  return LONG_TEXTS.includes(format) || contentMediaType.startsWith("text/") || String(value).includes("\n");
}

function kindOfList({ items, uniqueItems, prefixItems, default: value = [] }, root) {
  const item = flatten(items, root);
  if (prefixItems || item.writeOnly || item.nullable) return "json";
  if (item.choices) return uniqueItems ? "checks" : "json";
  if (item.type === "integer" || item.type === "number") return "lines";
  return item.type === "string" && !toJSON(value).includes("\\n") ? "lines" : "json";
}

/** Whether the arguments of an object are described, if only by saying that there are none. */
export const isDescribed = (args) => isObject(args) && Boolean(args.properties || args.additionalProperties === false);

/** Whether a value of this schema, or a part of it, must not be stored. */
export function isSecret(flat, root) {
  const text = toJSON(flat);
  const isMarked = (text) => text.includes('"writeOnly":true') || text.includes('"format":"password"');
  return isMarked(text) || (text.includes('"$ref"') && isMarked(toJSON(root)));
}
