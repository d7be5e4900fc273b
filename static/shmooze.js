/** The browser client: see docs/reference/protocol.md. */
(() => {
"use strict";

const LIMIT = 1000; // queries in a request
const STREAMS = 3;
const { freeze } = Object;
const html = document.documentElement;
const fixed = window.BASE_URL;
const script = document.currentScript?.src || window.shmooze_source || html.baseURI;
const urls = fixed ? [fixed + "/settings.json"] : [new URL("settings.json", script), "settings.json"];
const waiters = [];
let ready, probe, delay, posts = new AbortController(), count = 0, wanted = 0;
let lost, found; // while the gateway is lost: promise of its return

window.BASE_URL ||= "";
window.shmooze_token ||= "";
window.settings_data = {};
window.endpoints = { __proto__: null };
({ promise: window.shmooze_ready, resolve: ready } = Promise.withResolvers());

class Answer extends Promise {
	then(...callbacks) {
		this.awaited = true;
		return super.then(...callbacks);
	}
}

function answerTo(cb, err) {
	const { promise: answer, resolve, reject } = Answer.withResolvers();
	answer.catch(() => {}); // handled
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
		this.alive = this.retry = this.exact = false;
		this.onAlive = this.onDead = null;
	}

	deferQuery(data, cb, err, options) {
		const text = JSON.stringify([data], raw).slice(1, -1);
		const { answer, settle } = answerTo(cb, err);
		const query = { text, settle, number: ++count, retry: this.retry, deferred: true, ...options };
		query.retry *= 5; // attempts
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
		this.#waiting.push(...batch.splice(LIMIT));
		if (batch.length) this.#send(batch, settle);
		else setTimeout(settle, 0, { success: true });
		return answer;
	}

	subscribe(listener) {
		const own = (state, gone = {}) => call(() => this.#listeners.has(own) && listener(state, gone));
		this.#listeners.add(own);
		if (this.#state) own(this.#state);
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
		return lost && query.retry && this.#waiting.length < LIMIT && this.#waiting.push(query);
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
		mark(this, alive);
		batch.forEach((query, i) => {
			query.retry &&= query.retry - 1;
			if (alive || !this.#keep(query)) query.settle(packets?.[i] || { error });
		});
		settle({ success: packets, error });
	}

	async #post(batch) {
		let status, answer;
		const timer = setInterval(load, Endpoint.slow);
		try {
			const response = await request(this.url, posts.signal, 0, `[${batch.map((query) => query.text)}]`);
			status = response.status;
			answer = JSON.parse(await response.text(), this.exact && exact);
		} catch (error) {
			if (error.name !== "SyntaxError" || status >= 500) { // a proxy's
				lose();
				return { error: "the server is unreachable", alive: false };
			}
		} finally {
			clearInterval(timer);
		}
		if (status === 401 || lost) load();
		if (answer?.length === batch.length) return { packets: answer, alive: true };
		const error = answer?.error || `${this.url}: invalid answer (status ${status})`;
		return { error, alive: status < 500 && status !== 404 };
	}
};

/** Call `show` with each state. The tab with the lock reads `/events` and broadcasts them. */
async function follow(endpoint, signal, show) {
	await shmooze_ready;
	const url = new URL(endpoint.url + "/events", html.baseURI), name = `${url} ${shmooze_token}`;
	const channel = new BroadcastChannel(name);
	const send = (event) => channel.postMessage(event);
	const sendState = () => send({ event: "snapshot", id, data: JSON.stringify(state, raw) });
	let state, id = "", term, leading, silent, timer;

	const touch = () => {
		clearTimeout(timer);
		timer = setTimeout(() => {
			silent = true;
			term.abort();
			mark(endpoint, false);
			load();
		}, Endpoint.silence);
	};

	const handle = ({ event, id: next, data, broken, dead }) => {
		if (signal.aborted) return;
		if (event === "ask") return leading && sendState();
		touch();
		if (dead || !(endpoint.alive || broken)) mark(endpoint, !dead);
		if (broken) return load();
		if (!data) return;
		// Third number: snapshot parts to come.
		const [instance, number, left = 0] = next.split("-"), [before, last, missing = 0] = id.split("-");
		const step = instance === before ? number - last + (event === "snapshot" ? 0 : missing - left) : NaN;
		if (step <= 0 && !(missing && event === "snapshot")) return;
		const update = JSON.parse(data, /\d{16}/.test(data) ? exact : (key, value) => freeze(value));
		if (event === "snapshot") state = update;
		else if (step === 1) state = apply(state, update);
		else return send({ event: "ask" });
		id = next;
		show(state, update.gone);
	};

	const lead = async () => {
		const over = term.signal;
		let pause;
		leading = true;
		sendState();
		while (!over.aborted) {
			if (++wanted > STREAMS) await new Promise((resume) => waiters.push(resume));
			const stream = new AbortController();
			let event;
			const turn = setInterval(
				() => id && !id.split("-")[2] && event && !event.part && wanted > STREAMS && stream.abort(), Endpoint.turn);
			try {
				const response = await request(url, AbortSignal.any([over, stream.signal]), id && { "Last-Event-ID": id });
				if (!response.ok) throw response;
				for await (event of events(response.body)) {
					pause = 0;
					send(event);
					handle(event);
				}
			} catch ({ status = 500 }) {
				if (over.aborted || stream.signal.aborted) continue;
				const end = { broken: true, dead: !event && status >= 500 };
				send(end);
				await handle(end);
			} finally {
				clearInterval(turn);
				stream.abort();
				wanted--;
				waiters.shift()?.();
			}
			pause = backoff(pause);
			await (lost || new Promise((resume) => setTimeout(resume, pause)));
		}
	};

	channel.onmessage = ({ data }) => handle(data);
	send({ event: "ask" });
	while (!signal.aborted) {
		term = new AbortController();
		signal.onabort = () => term.abort();
		touch();
		const options = silent ? { steal: true } : { signal: term.signal };
		leading = silent = false;
		try {
			await navigator.locks.request(name, options, lead);
		} catch (error) {
			if (error.name !== "AbortError") await lead();
		}
		term.abort();
	}
	clearTimeout(timer);
	channel.close();
}

/** Server-sent events; `part`: an incomplete one. */
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

function apply(state, { modules = {}, order = state.modules.map(({ uid }) => uid), gone, ...more }) {
	const known = new Map([...state.modules, state.background].map((each) => [each?.uid, each]));
	const get = (uid) => known.get(uid), { background = state.background?.uid } = more;
	for (const [uid, { set, unset = [], ...rest }] of Object.entries(modules)) {
		const old = get(uid) || { uid }, parameters = { ...old.parameters, ...set };
		for (const name of unset) delete parameters[name];
		const module = { ...old, ...rest, parameters: freeze(parameters) };
		for (const key in rest) if (key != "by" && rest[key] === null) delete module[key];
		known.set(uid, freeze(module));
	}
	return freeze({ ...state, ...more, modules: freeze(order.map(get)), background: get(background) || null });
}

function request(url, signal, headers, body) {
	url = Object.assign(new URL(url, html.baseURI), { username: "", password: "" });
	headers = body ? { "Content-Type": "application/json" } : { ...headers };
	if (shmooze_token) headers.Authorization = "Bearer " + shmooze_token;
	return fetch(url, { method: body && "POST", headers, body, signal, cache: "no-store" });
}

const exact = (key, value, { source } = {}) =>
	freeze(/^-?\d{16,}$/.test(source) && !Number.isSafeInteger(value) ? BigInt(source) : value);
const raw = (key, value) => typeof value === "bigint" ? JSON.rawJSON(value) : value;

function mark(endpoint, alive) {
	const changed = endpoint.alive !== alive;
	endpoint.alive = alive;
	call(endpoint[alive ? "onAlive" : "onDead"], changed);
}

const backoff = (time) => Math.min(2 * time || Endpoint.pause, Endpoint.slow);
const call = (callback, ...values) => queueMicrotask(() => callback?.(...values));

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

window.lostConnection = () => { html.dataset.lost = ""; lose(); };
window.regainConnection = () => { delete html.dataset.lost; };

function lose() {
	probe ||= setTimeout(load, delay = backoff(delay));
	if (lost) return;
	({ promise: lost, resolve: found } = Promise.withResolvers());
	if (html.dataset.lost == null) call(window.lostConnection);
}

async function load(again) {
	probe = clearTimeout(probe);
	let response;
	try {
		response = await request(urls[0], AbortSignal.timeout(Endpoint.slow));
		const asks = response.headers.get("WWW-Authenticate"); // ours?
		if (asks === 'Bearer realm="shmooze"' && !shmooze_token) location.assign(new URL("login", response.url));
		if (!response.ok) throw response;
		Object.assign(settings_data, await response.json());
		urls.length = 1;
		BASE_URL = fixed || new URL(".", response.url).href.replace(location.origin + "/", "/").slice(0, -1);
	} catch (error) {
		if (!again && (urls.reverse()[1] || error.name === "TimeoutError")) return load(true);
		if (!response) { // no answer at all
			posts.abort();
			posts = new AbortController();
		}
		return lose();
	}
	for (const name in settings_data.ports)
		if (name !== "wsgi") (endpoints[name] ||= new Endpoint()).url = BASE_URL + "/" + encodeURIComponent(name);
	theme();
	addEventListener("DOMContentLoaded", theme);
	ready(settings_data);
	delay = 0;
	if (!lost) return;
	lost = null;
	found();
	call(window.regainConnection);
}

function theme() {
	const { name, bg_color, fg_color } = settings_data;
	html.style.backgroundColor = bg_color;
	html.style.color = fg_color;
	if (name) for (const title of document.querySelectorAll("h1.title")) title.textContent = name;
}

load();
})();
