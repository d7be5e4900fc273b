/** Who uses this page, what they may do, and what the page tells them. */

import { $, setText } from "./dom.js";

await shmooze_ready;

const said = $("#said"), problem = $("#problem");
let timer;

function show(element, text) {
  for (const each of [said, problem]) if (each !== element) setText(each, "");
  setText(element, text);
  clearTimeout(timer);
  timer = setTimeout(() => setText(element, ""), 3000 + 60 * text.length);
}

/** Tell the user that something has worked. */
export const say = (text) => show(said, text);
/** Tell the user in one line what has not worked. */
export const complain = (text) => show(problem, text);

/** "rm: this token may not…" or "track refused `init`: no such file" as a sentence, without what comes first. */
export function sentence(message) {
  const text = message.replace(/^((\w+ )?(failed|refused `init`)|[a-z_]+): /, "");
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

/** The result of a command. Rejects with an Error whose message is a sentence. */
export async function ask(service, cmd, args = {}) {
  const endpoint = endpoints[service];
  if (!endpoint) throw new Error(`The settings have no service “${service}”.`);
  try {
    return await endpoint.deferQuery({ cmd, args });
  } catch ({ message }) {
    throw new Error(sentence(message));
  }
}

/** The same for something that the user has asked for: tells what came of it. Returns whether it has worked. */
export async function act(service, cmd, args, done) {
  try {
    await ask(service, cmd, args);
  } catch ({ message }) {
    complain(message);
    return false;
  }
  if (done) say(done);
  return true;
}

/** As `guests.me` answers. Without that service, all is offered, and the services refuse what is not allowed. */
const unknown = { kind: "user", name: null, may: { add: true, own: true, order: true, control: true } };
export const me = endpoints.guests ? await ask("guests", "me").catch(() => unknown) : unknown;

/** What guests are called, by the name of their token. */
let names = {}, asked = false;
const listeners = [];

/** What somebody is called who has added something; "" if nobody knows. */
export function nameOf(by) {
  if (!by) return "";
  if (by === me.name) return "you";
  if (!(by in names) && endpoints.guests && !asked) {
    asked = true; // until there is an answer
    ask("guests", "names").then((found) => {
      names = { ...names, [by]: by, ...found };
      listeners.forEach((listener) => listener());
    }, () => {}).finally(() => asked = false);
  }
  return Object.hasOwn(names, by) ? names[by] : by;
}

/** Call this when it is known what more people are called. */
export const whenNamed = (listener) => listeners.push(listener);

/** Add a track of the library, or a link. */
export function add({ path, source = path, title, artist, album, cover, duration }) {
  const args = { source, title };
  for (const [key, value] of Object.entries({ artist, album, cover, duration })) if (value) args[key] = value;
  return act("queue", "add", { type: "track", args }, `“${title}” is in the queue`);
}
