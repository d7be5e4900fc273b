/**
 * Controls: how a value of each kind is entered.
 *
 * Each function makes the control of a field. It returns its `element`, the functions `read`, which returns
 * undefined for a value that is left out and throws an Error to show to the user, and `write`.
 */

import { jsonOrText, parseJSON } from "./arguments.js";
import { make, toJSON } from "./dom.js";
import { flatten } from "./schema.js";

const INPUT_TYPES = {
  email: "email", "idn-email": "email", uri: "url", iri: "url", date: "date", "date-time": "datetime-local",
};

function textControl(tag, type = "text") {
  const element = make(tag, "");
  if (tag === "input") element.type = type;
  element.autocapitalize = "off";
  element.autocomplete = "off";
  element.spellcheck = false;
  return element;
}

/** A value as text from which `jsonOrText` makes the same value. */
function asText(value) {
  if (typeof value !== "string") return toJSON(value);
  try {
    JSON.parse(value);
  } catch {
    if (!/^'.*'$/.test(value)) return value;
  }
  return toJSON(value);
}

/** A function that reads a text control by `parse`. An empty one is left out, or null where null is allowed. */
const readText = (element, { flat, isRequired }, parse) => () =>
  element.value !== "" ? parse(element.value) : flat.nullable && (isRequired || flat.default != null) ? null : undefined;

/** The digits of a number, none of them rounded. */
const exactNumber = (text) => /^[-+]?\d+$/.test(text) && !Number.isSafeInteger(Number(text)) ? BigInt(text) : Number(text);

/** The time of a `datetime-local` control for an instant, both in the browser's time zone. */
function localTime(text) {
  const time = new Date(text);
  return isNaN(time) ? "" : new Date(time - time.getTimezoneOffset() * 60e3).toISOString().slice(0, 19);
}

/** The browser's offset from UTC, as in "20:15:30+01:00". */
function localOffset() {
  const minutes = -new Date().getTimezoneOffset(), two = (value) => String(Math.floor(value)).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
}

export const KINDS = {
  /** A time of day. It keeps the offset from UTC of the value it was filled with. */
  time(options) {
    const element = textControl("input", "time");
    let offset = localOffset();
    element.step = 1;
    return {
      element,
      read: readText(element, options, (text) => `${text}${text.length === 5 ? ":00" : ""}${offset}`),
      write: (value) => {
        [, element.value, offset] = value.match(/^(\d\d:\d\d:\d\d)(?:\.\d+)?(.*)$/);
      },
    };
  },

  text(options) {
    const { flat, isRequired } = options;
    const type = INPUT_TYPES[flat.format] || "text", element = textControl("input", type);
    const isInstant = type === "datetime-local";
    if (isInstant) element.step = 1;
    const parse = isInstant ? (text) => new Date(text).toISOString().replace(".000Z", "Z") : (text) => text;
    const read = readText(element, options, parse);
    const mayBeEmpty = type === "text" && !flat.nullable && (isRequired || "default" in flat);
    return {
      element,
      read: () => read() ?? (mayBeEmpty ? "" : undefined),
      write: (value) => { element.value = isInstant ? localTime(value) : value; },
    };
  },

  long(options) {
    const { flat, isRequired } = options, element = textControl("textarea");
    element.rows = 4;
    element.spellcheck = true;
    const read = readText(element, options, (text) => text);
    return {
      element,
      read: () => read() ?? (isRequired || "default" in flat ? "" : undefined),
      write: (value) => { element.value = value; },
    };
  },

  secret(options) {
    const { flat } = options, element = textControl("input", "password");
    element.autocomplete = "new-password"; // "off" would let a browser fill in the token of this site
    const read = readText(element, options, flat.type === "string" ? (text) => text : jsonOrText);
    return { element, read, write: (value) => { element.value = flat.type === "string" ? value : asText(value); } };
  },

  number(options) {
    const { flat } = options, element = textControl("input", "number"), isInteger = flat.type === "integer";
    const limits = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
    const [minimum, maximum, exclusiveMinimum, exclusiveMaximum] = limits.map((key) => key in flat ? Number(flat[key]) : undefined);
    const { multipleOf: step = isInteger ? 1 : 0 } = flat;
    element.step = step || "any";
    // A browser counts the steps from `min`, and a schema from 0.
    const round = (limit, by) => step ? Number((by(Number((limit / step).toPrecision(12))) * step).toPrecision(12)) : limit;
    if (minimum !== undefined) element.min = round(minimum, Math.ceil);
    else if (exclusiveMinimum !== undefined) element.min = step ? round(exclusiveMinimum, Math.floor) + step : exclusiveMinimum;
    if (maximum !== undefined) element.max = round(maximum, Math.floor);
    else if (exclusiveMaximum !== undefined) element.max = step ? round(exclusiveMaximum, Math.ceil) - step : exclusiveMaximum;
    return { element, read: readText(element, options, exactNumber), write: (value) => { element.value = value; } };
  },

  choice(options) {
    const { flat, isRequired } = options;
    const { choices = [[true, "Yes"], [false, "No"]], nullable } = flat, element = make("select", "");
    const isEmptyOffered = "default" in flat ? nullable : !isRequired || nullable || choices.length > 1;
    if (isEmptyOffered) element.add(new Option(isRequired && !nullable ? "Choose…" : "–", ""));
    choices.forEach(([value, text], i) => element.add(new Option(text || asText(value) || '""', String(i))));
    const read = readText(element, options, (i) => choices[i][0]);
    return {
      element,
      read,
      write: (value) => {
        const place = choices.findIndex(([each]) => toJSON(each) === toJSON(value));
        if (place >= 0 || isEmptyOffered) element.value = place >= 0 ? String(place) : "";
      },
    };
  },

  switch({ flat, isRequired }) {
    const element = make("input", "");
    element.type = "checkbox";
    let isSet = isRequired || "default" in flat; // until then false would not mean that the user chose it
    element.addEventListener("change", () => { isSet = true; });
    return {
      element,
      read: () => isSet ? element.checked : undefined,
      write: (value) => {
        element.checked = value;
        isSet = true;
      },
    };
  },

  checks({ flat, root, isRequired, id }) {
    const element = make("div", "checks");
    const boxes = flatten(flat.items, root).choices.map(([value, text], i) => {
      const box = make("input", ""), label = make("label", "check", text || asText(value));
      box.type = "checkbox";
      box.id = `${id}-${i}`;
      label.prepend(box);
      element.append(label);
      return [value, box];
    });
    return {
      element,
      isGroup: true,
      read: () => {
        const values = boxes.filter(([, box]) => box.checked).map(([value]) => value);
        return values.length || isRequired || "default" in flat ? values : undefined;
      },
      write: (values) => { for (const [value, box] of boxes) box.checked = values.some((each) => toJSON(each) === toJSON(value)); },
    };
  },

  lines({ flat, root, isRequired }) {
    const element = textControl("textarea"), isText = flatten(flat.items, root).type === "string";
    element.rows = 3;
    element.placeholder = "One per line";
    const parse = (text, i) => {
      if (isText) return text;
      if (isNaN(text)) throw new Error(`Line ${i + 1} is not a number.`);
      return exactNumber(text);
    };
    return {
      element,
      read: () => {
        const lines = element.value.split("\n").map((line) => line.trim()).filter(Boolean);
        return lines.length || isRequired || "default" in flat ? lines.map(parse) : undefined;
      },
      write: (values) => { element.value = values.join("\n"); },
    };
  },

  any(options) {
    const element = textControl("input");
    return { element, read: readText(element, options, jsonOrText), write: (value) => { element.value = asText(value); } };
  },

  json(options) {
    const { flat } = options, element = textControl("textarea");
    element.rows = 3;
    element.placeholder = `JSON, such as ${flat.type === "array" ? "[1, 2]" : '{"key": "value"}'}`;
    element.classList.toggle("concealed", Boolean(flat.writeOnly));
    const read = readText(element, options, (text) => parseJSON(text));
    return { element, read, write: (value) => { element.value = toJSON(value, 1); } };
  },
};
