/** The screen in the room: what plays, what comes, and how to join. It needs nobody to look after it. */

import { $, clock, cloneOf, nameIn, setText, showCover, showList } from "./dom.js";

/** Milliseconds after which the code to join is asked for again, and after which the page is loaded again. */
const ROUND = 30000, DAY = 24 * 3600 * 1000;
const NEXT = 5;

// With a token in its address, `kiosk.html#token=…`, it works for longer than the cookie of the login.
window.shmooze_token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
await shmooze_ready;

const base = new URL("./", location.href).href;
let names = {}, last, isDown = false;

async function ask(service, cmd, args = {}) {
  if (!endpoints[service]) return null;
  return endpoints[service].deferQuery({ cmd, args });
}

function trackOf({ label, args = {}, parameters }) {
  return { ...args, ...parameters, title: parameters.title || args.title || nameIn(args.source || label || "Untitled") };
}

async function nameOf(by) {
  if (!by) return "";
  if (!Object.hasOwn(names, by)) names = { ...names, [by]: by, ...await ask("guests", "names").catch(() => null) };
  return names[by];
}

function showNow(item, isPaused) {
  const track = item ? trackOf(item) : { title: "Nothing is playing" }, { position, duration, artist, album } = track;
  setText($("#title"), track.title);
  setText($("#artist"), item ? [artist, album].filter(Boolean).join(" · ") : "Add a track, and it begins at once.");
  showCover($("main .cover"), track, $(".backdrop"));
  const isKnown = Number.isFinite(position) && duration > 0, [from, left] = $("#times").children;
  $("progress").hidden = !isKnown;
  $("progress").value = isKnown ? Math.min(1, position / duration) : 0;
  setText(from, clock(position));
  setText(left, isKnown ? `−${clock(duration - position)}` : "");
  nameOf(item?.by).then((name) => setText($("#by"), name && `Added by ${name}`));
  showState(isPaused);
}

function showState(isPaused = Boolean(last?.paused)) {
  const isLost = "lost" in document.documentElement.dataset || isDown;
  setText($("#state"), isLost ? "Not connected. Trying again…" : isPaused ? "Paused" : "");
}

function fillNext(element, item) {
  const track = trackOf(item);
  showCover($(".cover", element), track);
  setText($("b", element), track.title);
  nameOf(item.by).then((name) => setText($("small", element), [track.artist, name].filter(Boolean).join(" · ")));
}

function show(state) {
  last = state;
  const { modules, background, paused } = state, busy = modules.find((each) => each.state === "playing");
  showNow(busy ?? (background?.state === "playing" ? background : null), Boolean(paused));
  const coming = modules.filter((each) => each !== busy && each.state !== "ending");
  showList($("ol"), coming.slice(0, NEXT), ({ uid }) => uid, () => cloneOf("next"), fillNext);
  setText($("#next-title"), coming.length > NEXT ? `Up next · ${coming.length} tracks` : "Up next");
  $("#none").hidden = coming.length > 0;
}

/** Why phones could not use the code, for the host. */
function problemOf(shown) {
  if (shown?.only_here) return "No code: “app.url” in the settings must be an address that phones can reach.";
  return shown && !shown.qr ? "No code: the library segno is not installed." : "";
}

async function showCode() {
  let shown;
  try {
    shown = await ask("guests", "screen", { base });
  } catch {
    return; // what is shown may still be good
  }
  const problem = problemOf(shown), image = $("#join img");
  $("#join").hidden = !shown;
  image.hidden = Boolean(problem);
  setText($("#join span"), problem || "Scan to join");
  if (shown && !problem && image.getAttribute("src") !== shown.qr) image.src = shown.qr;
}

const { lostConnection, regainConnection } = window;
window.lostConnection = () => { lostConnection(); showState(); };
window.regainConnection = () => { regainConnection(); showState(); showCode(); };
endpoints.queue.onDead = () => { isDown = true; showState(); };
endpoints.queue.onAlive = () => { isDown = false; showState(); };

if (settings_data.name) document.title = `${settings_data.name}: screen`;
endpoints.queue.subscribe(show);
showCode();
setInterval(showCode, ROUND);
setInterval(() => {
  if ("lost" in document.documentElement.dataset) return;
  // Pictures need the cookie, and a page that has changed is loaded.
  if (shmooze_token) location.replace(`login#token=${shmooze_token}&to=kiosk.html%23token=${shmooze_token}`);
  else location.reload();
}, DAY);
