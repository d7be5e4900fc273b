/** A page's way to the services; see "Names for pages" in docs/protocol.md. */
(() => {
"use strict";

const MOST = 1000; // queries in a request, and of an endpoint that wait for a lost gateway
const STREAMS = 3; // of six connections
const { freeze } = Object;
const html = document.documentElement;
const fixed = window.BASE_URL;
const beside = document.currentScript?.src || window.shmooze_source || document.baseURI;
const home = fixed ? fixed + "/settings.json" : new URL("settings.json", beside);
const inLine = []; // streams that wait for others to give way
let ready, probe, delay, cut = new AbortController(), asked = 0, wanted = 0;
let lost, found; // while the gateway is lost: a promise, and what fulfils it

window.BASE_URL ||= "";
window.shmooze_token ||= "";
window.settings_data = {};
window.endpoints = Object.create(null);
({ promise: window.shmooze_ready, resolve: ready } = Promise.withResolvers());

/** Knows whether anybody waits for it: `await` calls `then`. */
class Answer extends Promise {
	then(...callbacks) {
		this.awaited = true;
		return super.then(...callbacks);
	}
}

function answerTo(cb, err) {
	const { promise: answer, resolve, reject } = Answer.withResolvers();
	answer.catch(() => {}); // never an unhandled rejection
	answer.awaited = false;
	const settle = ({ success, result, error }) => {
		if (!answer.awaited) err ||= console.error;
		call(success ? cb : err, success ? result : error);
		if (success) resolve(result);
		else reject(new Error(error));
	};
	return { answer, settle };
}

window.Endpoint = class Endpoint {
	static pause = 500;
	static slow = 10000;
	static silence = 35000;
	static turn = 2000;

	#waiting = [];
	#timer;
	#busy = 0;
	#listeners = new Set();
	#state;
	#watch;

	constructor(url) {
		this.url = url;
		this.alive = this.retry = false;
		this.onAlive = this.onDead = null;
	}

	deferQuery(data, cb, err, options) {
		const text = JSON.stringify([data]).slice(1, -1); // now: bad data harms nobody else
		const { answer, settle } = answerTo(cb, err);
		const query = { text, settle, number: ++asked, retry: this.retry, deferred: true, ...options };
		this.#waiting.push(query);
		if (query.deferred) this.#schedule();
		else this.runQueries();
		return answer;
	}

	forceQuery(data, cb, err, options) {
		return this.deferQuery(data, cb, err, { ...options, deferred: false });
	}

	runQueries(cb, err) {
		this.#timer = clearTimeout(this.#timer);
		const { answer, settle } = answerTo(cb, err || (() => {}));
		const queries = this.#waiting.sort((one, other) => one.number - other.number);
		this.#waiting = [];
		const batch = queries.filter((query) => !this.#keep(query));
		lost?.then(() => this.#schedule());
		this.#waiting.push(...batch.splice(MOST));
		if (batch.length) this.#send(batch, settle);
		else setTimeout(settle, 0, { success: true });
		return answer;
	}

	subscribe(listener) {
		const own = (state, gone = {}) => this.#listeners.has(own) && call(listener, state, gone);
		this.#listeners.add(own);
		if (this.#state) queueMicrotask(() => own(this.#state));
		if (!this.#watch) follow(this, (this.#watch = new AbortController()).signal, (state, gone) => {
			this.#state = state;
			for (const own of this.#listeners) own(state, gone);
		});
		return () => {
			if (!this.#listeners.delete(own) || this.#listeners.size) return;
			this.#watch.abort();
			this.#watch = this.#state = null;
		};
	}

	#keep(query) {
		return lost && query.retry && this.#waiting.length < MOST && this.#waiting.push(query);
	}

	#schedule(pause = 0) {
		if (this.#timer || this.#busy || !(this.#waiting.length || pause)) return;
		this.#timer = setTimeout(() => this.runQueries(), pause);
	}

	async #send(batch, settle) {
		const ordered = batch.some((query) => query.deferred);
		this.#busy += ordered;
		const { packets, error, alive } = await this.#post(batch);
		this.#busy -= ordered;
		this.#schedule(alive ? 0 : Endpoint.pause);
		const changed = this.alive !== alive;
		this.alive = alive;
		call(alive ? this.onAlive : this.onDead, changed);
		batch.forEach((query, i) => {
			if (alive || !this.#keep(query)) query.settle(packets?.[i] || { error });
		});
		settle({ success: packets, error });
	}

	async #post(batch) {
		let status, answer;
		const timer = setInterval(load, Endpoint.slow); // slow, or gone?
		try {
			const type = { "Content-Type": "application/json" };
			const response = await request(this.url, cut.signal, type, `[${batch.map((query) => query.text)}]`);
			status = response.status;
			answer = await response.json();
		} catch (error) {
			if (error.name !== "SyntaxError" || status >= 500) { // by a proxy
				lose();
				return { error: "the server is out of reach", alive: false };
			}
		} finally {
			clearInterval(timer);
		}
		if (status === 401 || lost) load(); // log in; or a sign of life
		if (answer?.length === batch.length) return { packets: answer, alive: true };
		const error = answer?.error || `${this.url}: no valid answer (status ${status})`;
		return { error, alive: status < 500 && status !== 404 };
	}
};

/**
 * Show what `/events` add up to. The tab that has the lock leads: it has the stream, and tells the others. One that
 * hears nothing for long takes the lock, and begins anew.
 */
async function follow(endpoint, signal, show) {
	await shmooze_ready;
	const url = new URL(endpoint.url + "/events", document.baseURI), name = `${url} ${shmooze_token}`;
	const channel = new BroadcastChannel(name);
	const tell = (event) => channel.postMessage(event);
	const tellState = () => tell({ event: "snapshot", id, data: JSON.stringify(state) });
	let state, id = "", term, leading, silent, timer;

	const heard = () => {
		clearTimeout(timer);
		timer = setTimeout(() => {
			silent = true;
			term.abort();
			load();
		}, Endpoint.silence);
	};

	const take = ({ event, id: next, data }) => {
		if (signal.aborted) return;
		if (event === "ask") return leading && tellState();
		heard();
		if (event === "broken") load();
		if (!data) return;
		const [instance, number] = next.split("-"), [before, last] = id.split("-");
		const step = instance === before ? number - last : NaN;
		if (step <= 0) return;
		const news = JSON.parse(data, (key, value) => freeze(value));
		if (event === "snapshot") state = news;
		else if (step === 1) state = changed(state, news);
		else return tell({ event: "ask" });
		id = next;
		show(state, news.gone);
	};

	const lead = async () => {
		const { signal: over } = term;
		let pause;
		leading = true;
		tellState();
		while (!over.aborted) {
			if (++wanted > STREAMS) await new Promise((resume) => inLine.push(resume));
			const stream = new AbortController();
			let event = {};
			const turn = setInterval(() => wanted > STREAMS && !event.part && stream.abort(), Endpoint.turn);
			try {
				const response = await request(url, AbortSignal.any([over, stream.signal]), id && { "Last-Event-ID": id });
				if (!response.ok) throw response;
				for await (event of events(response.body)) {
					pause = 0;
					tell(event);
					take(event);
				}
			} catch {
				if (over.aborted || stream.signal.aborted) continue;
				tell({ event: "broken" });
				await load(); // or a token?
			} finally {
				clearInterval(turn);
				wanted--;
				inLine.shift()?.();
			}
			pause = Math.min(2 * pause || Endpoint.pause, Endpoint.slow);
			await (lost || new Promise((resume) => setTimeout(resume, pause)));
		}
	};

	channel.onmessage = ({ data }) => take(data);
	tell({ event: "ask" });
	while (!signal.aborted) {
		term = new AbortController();
		signal.onabort = () => term.abort();
		heard();
		const options = silent ? { steal: true } : { signal: term.signal };
		leading = silent = false;
		try {
			await navigator.locks.request(name, options, lead);
		} catch (error) {
			if (error.name !== "AbortError") await lead(); // there are no locks
		}
		term.abort(); // the lock may have been stolen
	}
	clearTimeout(timer);
	channel.close();
}

/** Server-sent events. One without data is a sign of life; `part`: amid another. */
async function* events(body) {
	let text = "";
	for (const reader = body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
		const { value, done } = await reader.read();
		if (done) return;
		const blocks = (text + value).split("\n\n");
		text = blocks.pop();
		for (const block of blocks) yield Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
		if (text) yield { part: true };
	}
}

function changed(state, { modules = {}, order = state.modules.map(({ uid }) => uid), ...change }) {
	const known = new Map([...state.modules, state.background].map((each) => [each?.uid, each]));
	for (const [uid, { set, unset = [], ...rest }] of Object.entries(modules)) {
		const old = known.get(uid) || { uid };
		const parameters = { ...old.parameters, ...set };
		for (const name of unset) delete parameters[name];
		known.set(uid, freeze({ ...old, ...rest, parameters: freeze(parameters) }));
	}
	const { background = state.background?.uid } = change;
	return freeze({ modules: freeze(order.map((uid) => known.get(uid))), background: known.get(background) || null });
}

function request(url, signal, headers, body) {
	const token = shmooze_token && { Authorization: "Bearer " + shmooze_token };
	return fetch(url, { method: body && "POST", headers: { ...headers, ...token }, body, signal, cache: "no-store" });
}

function call(callback, ...values) {
	try {
		callback?.(...values);
	} catch (error) {
		reportError(error);
	}
}

// [data-shown]: hidden by the page itself; each keeps its own display.
const rules = new CSSStyleSheet();
rules.replaceSync(`
	:root:not([data-lost]) .disconnect-show, [data-lost] .disconnect-hide { display: none !important }
	[data-lost] [data-shown] { display: revert !important }
	[data-lost] [data-shown][hidden] { display: block !important }`);
document.adoptedStyleSheets.push(rules);
new MutationObserver(() => {
	for (const element of document.querySelectorAll("[data-lost] .disconnect-show"))
		if (getComputedStyle(element).display === "none") element.dataset.shown = "";
}).observe(html, { attributeFilter: ["data-lost"], childList: true, subtree: true });

window.lostConnection = () => { html.dataset.lost = ""; };
window.regainConnection = () => { delete html.dataset.lost; };

function lose() {
	probe ||= setTimeout(load, (delay = Math.min(2 * delay || Endpoint.pause, Endpoint.slow)));
	if (lost) return;
	({ promise: lost, resolve: found } = Promise.withResolvers());
	call(window.lostConnection);
}

/** Load the settings; also a probe of the gateway. */
async function load(again) {
	probe = clearTimeout(probe);
	let response;
	try {
		response = await request(home, AbortSignal.timeout(Endpoint.slow));
		if (response.status === 401 && !shmooze_token && !fixed) location.assign(new URL("login", response.url));
		if (!response.ok) throw response;
		Object.assign(settings_data, await response.json());
		BASE_URL = fixed || new URL(".", response.url).href.replace(location.origin + "/", "/").slice(0, -1);
	} catch (error) {
		if (!response) { // any status is a sign of life, and one slow answer no end
			if (error.name === "TimeoutError" && !again) return load(true);
			cut.abort();
			cut = new AbortController();
		}
		return lose();
	}
	for (const name in settings_data.ports)
		if (name !== "wsgi") (endpoints[name] ||= new Endpoint()).url = BASE_URL + "/" + encodeURIComponent(name);
	dress();
	document.addEventListener("DOMContentLoaded", dress);
	ready(settings_data);
	delay = 0;
	if (!lost) return;
	lost = null;
	found();
	call(window.regainConnection);
}

function dress() {
	const { name, bg_color, fg_color } = settings_data;
	html.style.backgroundColor = bg_color;
	html.style.color = fg_color;
	if (name) for (const title of document.querySelectorAll("h1.title")) title.textContent = name;
}

load();
})();
