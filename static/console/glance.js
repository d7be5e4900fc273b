/** What the line of an item shows of its parameters: progress, and a few short values. */

import { clockTime, number } from "./parameter.js";

const MAX_VALUES = 3;
const MAX_CHARS = 24; // of a value
const LONG_ROLES = new Set(["progress", "image", "url", "log"]);

const isProgress = (value) => typeof value === "number" && value >= 0 && value <= 1;

/** How far it is, from 0 to 1; null if it does not say. */
export function progressOf(parameters, described) {
  const name = Object.keys(described).find((each) => described[each].role === "progress") ?? "progress";
  return isProgress(parameters[name]) ? parameters[name] : null;
}

/** A few values in one line: "ready · left 0:12 · total 1:40". Status and title come without their names. */
export function glanceOf(parameters, described, heading) {
  const known = Object.keys(described), others = Object.keys(parameters).filter((name) => !described[name]).sort();
  const found = [];
  for (const name of [...known, ...others]) {
    if (found.length === MAX_VALUES) break;
    const { role, title, unit } = described[name] || {}, value = parameters[name];
    if (LONG_ROLES.has(role) || LONG_ROLES.has(name)) continue;
    const text = shortOf(value, role, unit);
    if (text && text !== heading) found.push(role === "status" || role === "title" ? text : `${title || name} ${text}`);
  }
  return found.join(" · ");
}

function shortOf(value, role, unit) {
  if (typeof value === "number" || typeof value === "bigint")
    return role === "time" ? clockTime(value) : [number(value), unit].filter(Boolean).join(" ");
  if (typeof value !== "string" || value.length > MAX_CHARS || value.includes("\n")) return "";
  return value;
}
