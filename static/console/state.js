/** The state of an item for people: one word with an icon and a colour, and why the item does not play. */

import { momentOf, withMoments } from "./terms.js";

/** States of items that do something right now: to remove such an item ends work that cannot be brought back. */
const RUNNING = new Set(["playing", "starting", "ending"]);

export const isRunning = ({ state }) => RUNNING.has(state);

/** The state in one word. Each has an icon in index.html and a colour in items.css. */
export function wordOf({ state, held, restarts, next_attempt_at: next }) {
  if (held || state === "held") return "held";
  if (state !== "playing" && next || state === "starting" && restarts) return "restarting";
  return state;
}

/** Why it does not play, as text; empty if it plays. `isPaused` and `isBackground` are about its whole list. */
export function whyOf(module, { isPaused = false, isBackground = false } = {}) {
  const { state, held, waits, web, restarts, next_attempt_at: next } = module;
  if (held) return /^held\b/.test(held) ? `${held} until it is released` : `held: ${held}`;
  if (state === "held") return "held until it is released";
  if (waits) return `waits: ${withMoments(waits)}`;
  if (next) return `failed, starts again at ${momentOf(next)}`;
  if (state === "starting") return restarts ? "failed, its process is starting again" : "its process is starting";
  if (state === "ending") return "its process is ending";
  if (web === "resting") return "rests until somebody opens it";
  if (state === "playing") return web && web !== "ready" ? `its web server is ${web}` : "";
  if (isBackground) return "plays while nothing else does";
  return isPaused ? "waits: everything is paused" : "waits for its turn";
}

/** A word with its icon in an element made by the template. Writes only what is different. */
export function showState(element, word) {
  if (element.dataset.word === word) return;
  element.dataset.word = word;
  element.querySelector("use").setAttribute("href", `#icon-${word}`);
  element.querySelector(".word").textContent = word;
}

/** Numbers of items by word, in the order that people want to know them: "1 playing, 12 waiting". */
export function countsOf(tally) {
  const known = ["playing", "restarting", "held", "starting", "suspended", "waiting", "ending"];
  const place = (word) => known.indexOf(word) < 0 ? known.length : known.indexOf(word);
  return [...tally].filter(([, count]) => count).sort(([a], [b]) => place(a) - place(b));
}
