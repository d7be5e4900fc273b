/** The page of the jukebox: its views, and what happens while it is out of reach. */

import { $, setText } from "./dom.js";
import { me } from "./session.js";

const nav = $("nav"), banner = $("#banner");
const names = ["queue", "music", "played"];
const isWide = matchMedia("(min-width: 60rem)");

/** On a phone one view is shown; on a wide screen the queue always is, and one of the others beside it. */
function showView() {
  const wanted = names.includes(location.hash.slice(1)) ? location.hash.slice(1) : names[0];
  const shown = isWide.matches && wanted === "queue" ? "music" : wanted;
  for (const name of names) $(`#${name}`).hidden = name !== shown && !(isWide.matches && name === "queue");
  for (const link of nav.children) {
    if (link.hash === `#${shown}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  dispatchEvent(new CustomEvent("view", { detail: shown }));
}

function showReach() {
  const isLost = "lost" in document.documentElement.dataset;
  const isDown = !isLost && downs.queue;
  setText(banner, isLost ? "The jukebox is out of reach. Trying again…" : isDown ? "The queue is not running. It goes on here when it is back." : "");
}

const downs = { queue: false };

async function start() {
  document.title = settings_data.name || "Jukebox";
  if (me.kind === "invitation") return (await import("./join.js")).join();
  $("#jukebox").hidden = false;
  const parts = ["./queue.js", "./volume.js", "./music.js", "./played.js", "./people.js"];
  await Promise.all(parts.map((part) => import(part)));
  endpoints.queue.onDead = () => { downs.queue = true; showReach(); };
  endpoints.queue.onAlive = () => { downs.queue = false; showReach(); };
  addEventListener("hashchange", () => {
    showView();
    if (names.includes(location.hash.slice(1))) {
      scrollTo(0, 0);
      $(location.hash).focus({ preventScroll: true });
    }
  });
  isWide.addEventListener("change", showView);
  showView();
}

const { lostConnection, regainConnection } = window;
window.lostConnection = () => { lostConnection(); showReach(); };
window.regainConnection = () => { regainConnection(); showReach(); dispatchEvent(new Event("regained")); };

start();
