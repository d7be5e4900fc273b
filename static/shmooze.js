/**
 * shmooze.js: a page's way to the services; shmooze.d.mts says what there is. settings.json is asked for next to
 * this script; where the answer comes from is where the services are. The same request probes for a lost gateway.
 */
(function () {
"use strict";

const PROBE = 500; // ms until a lost gateway is probed, doubling ...
const LAST_PROBE = 10000; // ... up to this; also the time for a probe, and for a request to cause one
const KEPT = 900; // queries that wait for a lost gateway; a request may hold 1000
const source = document.currentScript?.src || window.shmooze_source || document.baseURI;
const html = document.documentElement;
const fixed = window.BASE_URL;
const back = new Set(); // called when the gateway is back
let ready, delay, probe, lost, cut = new AbortController(), asked = 0;

window.BASE_URL ||= "";
window.shmooze_token ||= "";
window.settings_data = {};
window.endpoints = Object.create(null);
window.shmooze_ready = new Promise((resolve) => (ready = resolve));

/** A promise that knows whether anybody waits for it, since `await` calls `then`. */
class Answer extends Promise {
  then(...callbacks) {
    this.awaited = true;
    return super.then(...callbacks);
  }
}

/** A promise, and what settles it and calls back. A failure that nobody hears goes to the console. */
function answerTo(cb, err) {
  let settle;
  const answer = new Answer((resolve, reject) => {
    settle = ({ success, result, error }) => {
      if (!answer.awaited) err ||= console.error;
      call(success ? cb : err, success ? result : error);
      if (success) resolve(result);
      else reject(new Error(error));
    };
  });
  Promise.prototype.then.call(answer, null, () => {}); // never an unhandled rejection
  return { answer, settle };
}

window.Endpoint = class Endpoint {
  static pause = 500;

  #waiting = [];
  #timer;
  #busy = 0;
  #pause = 0;
  #listeners = new Set();
  #state;
  #watch;

  constructor(url) {
    this.url = url;
    this.alive = this.retry = false;
    this.onAlive = this.onDead = null;
  }

  deferQuery(...query) {
    return this.#ask(true, ...query);
  }

  forceQuery(...query) {
    return this.#ask(false, ...query);
  }

  runQueries(cb, err) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const { answer, settle } = answerTo(cb, err || (() => {}));
    const batch = this.#waiting.splice(0);
    if (batch.length) this.#send(batch, settle);
    else setTimeout(settle, 0, { success: true });
    return answer;
  }

  subscribe(listener) {
    const own = (state) => this.#listeners.has(own) && call(listener, state);
    this.#listeners.add(own);
    if (this.#state) queueMicrotask(() => own(this.#state));
    if (!this.#watch) this.#follow((this.#watch = new AbortController()).signal);
    return () => {
      if (!this.#listeners.delete(own) || this.#listeners.size) return;
      this.#watch.abort();
      this.#watch = this.#state = null;
    };
  }

  /**
   * Of all tabs that watch the same, the one that has the lock leads: it has the stream, and tells the others.
   * Who begins, or has missed an event, asks for the state. Without locks every tab leads.
   */
  async #follow(signal) {
    await shmooze_ready;
    if (signal.aborted) return;
    let id = "", leading;
    const name = `shmooze ${new URL(this.url, document.baseURI)} ${shmooze_token}`;
    const channel = navigator.locks && new BroadcastChannel(name);
    const tell = (event) => channel?.postMessage(event);
    const tellState = () => this.#state && tell({ event: "snapshot", id, data: this.#state });

    const take = ({ event, id: next, data }) => {
      if (signal.aborted) return;
      if (event === "broken") return load();
      if (event === "ask") return leading && tellState();
      const step = steps(id, next);
      if (step <= 0) return;
      if (event === "snapshot") this.#state = data;
      else if (step === 1) this.#state = changed(this.#state, data);
      else return tell({ event: "ask" });
      id = next;
      for (const own of this.#listeners) own(this.#state);
    };

    const lead = async (end) => {
      signal.onabort = end;
      leading = true;
      tellState();
      for (let delay = PROBE; !signal.aborted; delay = Math.min(2 * delay, LAST_PROBE)) {
        try {
          const response = await request(this.url + "/events", signal, id && { "Last-Event-ID": id });
          if (response.status === 401) throw response;
          for await (const event of response.ok ? events(response.body) : []) {
            delay = PROBE;
            tell(event);
            take(event);
          }
        } catch {
          if (signal.aborted) return;
          tell({ event: "broken" });
          await load(); // is it the service, or the gateway?
        }
        await new Promise((resume) => (lost ? back.add(resume) : setTimeout(resume, delay)));
      }
    };

    if (!channel) return lead();
    channel.onmessage = ({ data }) => take(data);
    tell({ event: "ask" });
    signal.addEventListener("abort", () => channel.close());
    navigator.locks.request(name, { signal }, () => new Promise(lead)).catch(() => signal.aborted || lead());
  }

  #ask(deferred, data, cb, err, options) {
    const text = JSON.stringify([data]).slice(1, -1); // now: nobody else's batch fails for bad data
    const { answer, settle } = answerTo(cb, err);
    const query = { text, settle, deferred, number: ++asked, retry: this.retry, ...options };
    if (!this.#keep(query)) this.#waiting.push(query);
    if (deferred) this.#schedule();
    else this.runQueries();
    return answer;
  }

  /** Keep a query for when the gateway is back, if it may wait. */
  #keep(query) {
    return lost && query.retry && back.size < KEPT && back.add(() => {
      this.#waiting.push(query);
      this.#waiting.sort((one, other) => one.number - other.number);
      this.#pause = 0;
      this.#schedule();
    });
  }

  #schedule() {
    if (this.#timer || this.#busy || !this.#waiting.length) return;
    this.#timer = setTimeout(() => this.runQueries(), this.#pause);
  }

  async #send(batch, settle) {
    const ordered = batch.some((query) => query.deferred);
    this.#busy += ordered;
    const { packets, error, alive } = await this.#post(batch);
    this.#busy -= ordered;
    this.#pause = alive ? 0 : Endpoint.pause;
    const changed = this.alive !== alive;
    this.alive = alive;
    call(alive ? this.onAlive : this.onDead, changed);
    batch.forEach((query, i) => {
      if (alive || !this.#keep(query)) query.settle(packets?.[i] || { error });
    });
    settle({ success: packets, error });
    this.#schedule();
  }

  async #post(batch) {
    let status, answer;
    const timer = setInterval(load, LAST_PROBE); // is the service slow, or the gateway gone?
    try {
      const type = { "Content-Type": "application/json" };
      const response = await request(this.url, cut.signal, type, `[${batch.map((query) => query.text)}]`);
      status = response.status;
      answer = await response.json();
    } catch (error) {
      if (error.name !== "SyntaxError" || status >= 500) { // the network, or a proxy that misses the gateway
        lose();
        return { error: "the server is out of reach", alive: false };
      }
    } finally {
      clearInterval(timer);
    }
    if (status === 401 || (lost && probe)) load(); // to log in; or a sign of life
    if (Array.isArray(answer) && answer.length === batch.length) return { packets: answer, alive: true };
    const error = answer?.error || `${this.url}: no valid answer (status ${status})`;
    return { error, alive: status < 500 && status !== 404 };
  }
};

/** How far it is from one event to another. Ids are INSTANCE-NUMBER. */
function steps(from, to) {
  const [before, old] = from.split("-"), [now, young] = to.split("-");
  return now === before ? young - old : NaN;
}

/** The server-sent events of a body. */
async function* events(body) {
  let text = "";
  for (const reader = body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
      if (event.data) yield { ...event, data: JSON.parse(event.data) };
    }
  }
}

/** A state after a change, as docs/protocol.md has it. */
function changed({ modules, background }, change) {
  const known = new Map([...modules, background].map((each) => [each?.uid, each]));
  for (const [uid, { set, unset = [], ...rest }] of Object.entries(change.modules || {})) {
    const old = known.get(uid) || { uid };
    const parameters = { ...old.parameters, ...set };
    for (const name of unset) delete parameters[name];
    known.set(uid, { ...old, ...rest, parameters });
  }
  const order = change.order || modules.map((each) => each.uid);
  const place = "background" in change ? change.background : background?.uid;
  return { modules: order.map((uid) => known.get(uid)), background: known.get(place) || null };
}

function request(url, signal, headers, body) {
  const token = shmooze_token && { Authorization: "Bearer " + shmooze_token };
  const method = body && "POST"; // or GET
  return fetch(url, { method, headers: { ...headers, ...token }, body, signal, cache: "no-store" });
}

/** Call what may be no function; what it throws is reported. */
function call(callback, argument) {
  try {
    callback?.(argument);
  } catch (error) {
    reportError(error);
  }
}

// Each keeps its own display; [data-shown] is one that the page hides itself.
const rules = new CSSStyleSheet();
rules.replaceSync(`
  html:not([data-lost]) .disconnect-show, html[data-lost] .disconnect-hide { display: none !important }
  html[data-lost] [data-shown] { display: revert !important }
  html[data-lost] [data-shown][hidden] { display: block !important }`);
document.adoptedStyleSheets.push(rules);

const observer = new MutationObserver(show);
function show() {
  for (const element of document.querySelectorAll(".disconnect-show"))
    if (getComputedStyle(element).display === "none") element.dataset.shown = "";
}

window.lostConnection = () => {
  html.dataset.lost = "";
  show();
  observer.observe(html, { childList: true, subtree: true });
};

window.regainConnection = () => {
  observer.disconnect();
  delete html.dataset.lost;
};

function lose() {
  if (lost) return;
  lost = true;
  delay = PROBE;
  probeLater();
  lostConnection();
}

function probeLater() {
  clearTimeout(probe);
  probe = setTimeout(load, delay);
  delay = Math.min(2 * delay, LAST_PROBE);
}

/** Load the settings, and see whether the gateway is there. */
async function load() {
  clearTimeout(probe);
  probe = 0;
  try {
    const url = fixed ? fixed + "/settings.json" : new URL("settings.json", source);
    const response = await request(url, AbortSignal.timeout(LAST_PROBE));
    if (response.status === 401 && !shmooze_token && !fixed) location.assign(new URL("login", response.url));
    if (!response.ok) throw new Error("status " + response.status);
    use(await response.json(), new URL(".", response.url));
  } catch (error) {
    console.warn("shmooze: no settings:", error.message);
    cut.abort(); // what is still under way will not be answered
    cut = new AbortController();
    return lost ? probeLater() : lose();
  }
  ready(settings_data);
  if (!lost) return;
  lost = false;
  for (const resume of back) resume();
  back.clear();
  regainConnection();
}

function use(settings, home) {
  BASE_URL = fixed || home.href.replace(location.origin + "/", "/").slice(0, -1);
  Object.assign(settings_data, settings);
  for (const name in settings.ports)
    if (name !== "wsgi") (endpoints[name] ||= new Endpoint()).url = BASE_URL + "/" + encodeURIComponent(name);
  dress();
  document.addEventListener("DOMContentLoaded", dress);
}

function dress() {
  const { name, bg_color, fg_color } = settings_data;
  if (bg_color) html.style.backgroundColor = bg_color;
  if (fg_color) html.style.color = fg_color;
  if (name) for (const title of document.querySelectorAll("h1.title")) title.textContent = name;
}

addEventListener("online", load);
load();
})();
