/**
 * shmooze.js: a page's way to the services of a shmooze application, by a plain <script> in its head.
 * settings.json is asked for next to this script; where the answer comes from is where the services are.
 * The same request probes for a lost gateway.
 */
(function (page) {
  "use strict";

  const PROBE = 500; // ms until a lost gateway is probed, doubling ...
  const LAST_PROBE = 10000; // ... up to this; also the time for a probe, and for a request to cause one
  const source = document.currentScript ? document.currentScript.src : document.baseURI;
  const html = document.documentElement;
  const fixed = page.BASE_URL;
  let ready, delay, timer, lost = false, cut = new AbortController();

  /** Where the services are, with no slash at the end. A page may set it before this script. */
  page.BASE_URL = fixed || "";
  /** A token to show to the server, where no login has set a cookie. A page may set it before. */
  page.shmooze_token = page.shmooze_token || "";
  /** The public settings. @type {Object<string, any>} */
  page.settings_data = {};
  /** The services by name. @type {Object<string, Endpoint>} */
  page.endpoints = Object.create(null);
  /** Gives `settings_data` once that, `endpoints` and `BASE_URL` are filled. @type {Promise<Object>} */
  page.shmooze_ready = new Promise((resolve) => (ready = resolve));

  /** One service. Deferred queries keep their order; forced ones wait for nothing. */
  page.Endpoint = class Endpoint {
    /** ms that deferred queries are held back after a failed request. */
    static pause = 500;

    #waiting = [];
    #timer = 0;
    #busy = 0;
    #pause = 0;
    #listeners = new Set();
    #state = null;
    #watch = null;

    /** @param {string} url */
    constructor(url) {
      this.url = url;
      /** Did the service answer last time? */
      this.alive = false;
      /** Called at each answer, with true if `alive` has changed. @type {?function(boolean)} */
      this.onAlive = null;
      /** Called at each failed request, likewise. @type {?function(boolean)} */
      this.onDead = null;
    }

    /**
     * Ask, in one request with everything asked in this turn of the page's loop.
     * @param {{cmd: string, args?: Object}} data
     * @param {function(any)} [cb] gets the result
     * @param {function(string)} [err] gets the reason, "out of reach" included
     */
    deferQuery(data, cb, err) {
      this.#add(data, cb, err, true);
      this.#schedule();
    }

    /** Ask now, with all that waits. */
    forceQuery(data, cb, err) {
      this.#add(data, cb, err, false);
      this.runQueries();
    }

    /**
     * Send what waits, now.
     * @param {function()} [cb] called when it is answered, or soon if nothing waits
     * @param {function(string)} [err] gets the reason if the request failed
     */
    runQueries(cb, err) {
      clearTimeout(this.#timer);
      this.#timer = 0;
      const batch = this.#waiting.splice(0);
      if (batch.length) this.#send(batch, cb, err);
      else if (cb) setTimeout(cb);
    }

    /**
     * Watch a queue or pool. Objects of modules that have not changed stay the same.
     * @param {function({modules: Object[], background: ?Object})} listener is called soon and after each change
     * @returns {function()} ends it
     */
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

    async #follow(signal) {
      let id = "", delay = PROBE;
      while (!signal.aborted) {
        try {
          await page.shmooze_ready;
          const headers = { ...bearer(), ...(id && { "Last-Event-ID": id }) };
          const response = await fetch(this.url + "/events", { headers, signal, cache: "no-store" });
          if (response.status === 401) load();
          if (response.ok)
            for await (const event of events(response.body)) {
              if (signal.aborted) return;
              delay = PROBE;
              id = event.id;
              this.#state = event.event === "snapshot" ? event.data : changed(this.#state, event.data);
              for (const own of this.#listeners) own(this.#state);
            }
        } catch (error) {
          if (!signal.aborted && !lost) load(); // is it the service, or the gateway?
        }
        await new Promise((resume) => setTimeout(resume, delay));
        delay = Math.min(2 * delay, LAST_PROBE);
      }
    }

    #add(data, cb, err, deferred) {
      const text = JSON.stringify([data]).slice(1, -1); // now: nobody else's batch fails for bad data
      this.#waiting.push({ text, cb, err, deferred });
    }

    #schedule() {
      if (this.#timer || this.#busy || !this.#waiting.length) return;
      this.#timer = setTimeout(() => this.runQueries(), this.#pause);
    }

    async #send(batch, cb, err) {
      const ordered = batch.some((query) => query.deferred);
      this.#busy += ordered;
      const { packets, error, alive } = await this.#post(batch);
      this.#busy -= ordered;
      this.#pause = alive ? 0 : Endpoint.pause;
      const changed = this.alive !== alive;
      this.alive = alive;
      call(alive ? this.onAlive : this.onDead, changed);
      batch.forEach((query, i) => {
        const packet = (packets ? packets[i] : { error }) || {};
        if (packet.success) call(query.cb, packet.result);
        else call(query.err || console.error, packet.error);
      });
      call(packets ? cb : err, error);
      this.#schedule();
    }

    async #post(batch) {
      let status, answer;
      const doubt = setInterval(load, LAST_PROBE); // is the service slow, or the gateway gone?
      try {
        const headers = { "Content-Type": "application/json", ...bearer() };
        const body = "[" + batch.map((query) => query.text) + "]";
        const response = await fetch(this.url, { method: "POST", headers, body, signal: cut.signal });
        status = response.status;
        answer = JSON.parse(await response.text());
      } catch (error) {
        if (error.name !== "SyntaxError" || status >= 500) { // the network, or a proxy that misses the gateway
          lose();
          return { error: "the server is out of reach", alive: false };
        }
      } finally {
        clearInterval(doubt);
      }
      if (status === 401 || (lost && timer)) load(); // to log in; or a sign of life
      if (Array.isArray(answer) && answer.length === batch.length) return { packets: answer, alive: true };
      const error = (answer && answer.error) || `${this.url} gave no valid answer (status ${status})`;
      return { error, alive: status < 500 && status !== 404 };
    }
  };

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
  function changed(before, change) {
    const known = new Map(before.modules.concat(before.background || []).map((each) => [each.uid, each]));
    for (const [uid, { set, unset = [], ...rest }] of Object.entries(change.modules || {})) {
      const old = known.get(uid) || { uid, parameters: {} };
      const parameters = { ...old.parameters, ...set };
      for (const name of unset) delete parameters[name];
      known.set(uid, { ...old, ...rest, parameters });
    }
    const order = change.order || before.modules.map((each) => each.uid);
    const place = "background" in change ? change.background : before.background && before.background.uid;
    return { modules: order.map((uid) => known.get(uid)), background: place ? known.get(place) : null };
  }

  function bearer() {
    return page.shmooze_token ? { Authorization: "Bearer " + page.shmooze_token } : {};
  }

  /** Call what may be no function. What it throws is reported, and harms nobody here. */
  function call(callback, argument) {
    try {
      if (callback) callback(argument);
    } catch (error) {
      setTimeout(() => { throw error; });
    }
  }

  // Rules leave the elements' own display alone and hold for later elements.
  // [data-shown] overrules a page that hides its .disconnect-show itself.
  const rules = new CSSStyleSheet();
  rules.replaceSync(`
    html:not([data-lost]) .disconnect-show, html[data-lost] .disconnect-hide { display: none !important }
    html[data-lost] [data-shown] { display: revert !important }
    html[data-lost] [data-shown][hidden] { display: block !important }`);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, rules];

  const observer = new MutationObserver(show);
  function show() {
    for (const element of document.querySelectorAll(".disconnect-show"))
      if (getComputedStyle(element).display === "none") element.dataset.shown = "";
  }

  /** Show `.disconnect-show`, hide `.disconnect-hide`, and give <html> the attribute data-lost. */
  page.lostConnection = function () {
    html.dataset.lost = "";
    show();
    observer.observe(html, { childList: true, subtree: true });
  };

  /** The reverse. */
  page.regainConnection = function () {
    observer.disconnect();
    delete html.dataset.lost;
  };

  function lose() {
    if (lost) return;
    lost = true;
    delay = PROBE;
    probeLater();
    page.lostConnection();
  }

  function probeLater() {
    clearTimeout(timer);
    timer = setTimeout(load, delay);
    delay = Math.min(2 * delay, LAST_PROBE);
  }

  async function load() {
    clearTimeout(timer);
    timer = 0;
    try {
      const url = fixed ? fixed + "/settings.json" : new URL("settings.json", source);
      const signal = AbortSignal.timeout(LAST_PROBE);
      const response = await fetch(url, { cache: "no-store", headers: bearer(), signal });
      if (response.status === 401 && !page.shmooze_token && !fixed) location.assign(new URL("login", response.url));
      if (!response.ok) throw new Error("status " + response.status);
      use(await response.json(), new URL(".", response.url));
    } catch (error) {
      console.warn("shmooze: no settings.json:", error.message);
      cut.abort(); // what is still under way will not be answered
      cut = new AbortController();
      return lost ? probeLater() : lose();
    }
    ready(page.settings_data);
    if (!lost) return;
    lost = false;
    page.regainConnection();
  }

  function use(settings, home) {
    const origin = home.origin === location.origin ? "" : home.origin;
    if (!fixed) page.BASE_URL = origin + home.pathname.slice(0, -1);
    Object.assign(page.settings_data, settings);
    for (const name of Object.keys(settings.ports || {})) {
      if (name === "wsgi") continue;
      const endpoint = (page.endpoints[name] ||= new page.Endpoint());
      endpoint.url = page.BASE_URL + "/" + encodeURIComponent(name);
    }
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", dress);
    else dress();
  }

  function dress() {
    const { name, bg_color, fg_color } = page.settings_data;
    if (bg_color) html.style.backgroundColor = bg_color;
    if (fg_color) html.style.color = fg_color;
    if (name) for (const title of document.querySelectorAll("h1.title")) title.textContent = name;
  }

  page.addEventListener("online", () => lost && load());
  load();
})(window);
