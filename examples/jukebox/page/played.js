/** What was played: most often, and last; a tap adds it again. */

import { $, cloneOf, counted, setIcon, showList, showTrack, withTime } from "./dom.js";
import { act, ask, complain, nameOf, sentence, whenNamed } from "./session.js";
import { showTaps } from "./music.js";

const PAGE = 20;
const most = $("#most"), recent = $("#recent"), more = $("#played .more");
let items = [], next = null, isShown = false, timer;

const isLink = (source) => /^https?:/.test(source);

/** What is known of a source: by the library, or else from when it was played. */
async function lookUp(source) {
  const known = isLink(source) ? null : await ask("library", "track", { path: source }).catch(() => null);
  if (known) return { ...known, source };
  const { items: found } = await ask("queue", "history", { text: source, limit: 20 }).catch(() => ({ items: [] }));
  return found.find(({ args }) => args?.source === source)?.args ?? { source, title: source };
}

async function showMost() {
  const counts = await ask("queue", "history", { type: "track", count: "args.source", state: "done", limit: 10 });
  const tracks = await Promise.all(counts.map(async ({ value, count }) => ({ ...await lookUp(value), source: value, count })));
  showTaps(most, tracks, ({ count }) => count === 1 ? "played once" : `played ${counted(count, "time")}`, ({ source }) => source);
  most.parentElement.querySelector(".empty").hidden = tracks.length > 0;
}

function ago(moment) {
  const minutes = Math.round((Date.now() - Date.parse(moment)) / 60000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.round(minutes / 60)} h ago`;
  return new Date(moment).toLocaleDateString(undefined, { day: "numeric", month: "short" });
}

function make() {
  const element = cloneOf("tap");
  setIcon($(".mark", element), "again");
  $("button", element).onclick = () =>
    act("queue", "requeue", { uids: [element.item.uid] }, `“${element.item.args.title || element.item.args.source}” is in the queue again`);
  return element;
}

function fill(element, item) {
  element.item = item;
  const { args, state, reason, by, ended } = item, who = nameOf(by);
  const outcome = { failed: sentence(reason ?? "failed"), removed: /skip/.test(reason) ? reason : "removed", lost: "cut off by a crash" }[state];
  const about = [ago(ended), who && `added by ${who}`, outcome];
  showTrack(element, withTime({ ...args, title: args.title || args.source }), about.filter(Boolean).join(" · "));
  element.classList.toggle("failed", state === "failed");
}

function showRecent() {
  showList(recent, items, ({ uid }) => uid, make, fill);
  more.hidden = next === null;
  recent.parentElement.querySelector(".empty").hidden = items.length > 0;
}

async function loadRecent(before) {
  const page = await ask("queue", "history", { type: "track", limit: PAGE, ...(before ? { before } : {}) });
  const fit = page.items.filter(({ args }) => args);
  items = before ? [...items, ...fit] : fit;
  next = page.next;
  showRecent();
}

async function load() {
  try {
    await Promise.all([showMost(), loadRecent()]);
  } catch ({ message }) {
    complain(message);
  }
}

more.onclick = () => loadRecent(next).catch(({ message }) => complain(sentence(message)));
addEventListener("view", ({ detail }) => {
  isShown = detail === "played";
  if (isShown) load();
});
addEventListener("ended", () => {
  clearTimeout(timer);
  if (isShown) timer = setTimeout(load, 500); // several may end at once
});
whenNamed(() => isShown && showRecent());
