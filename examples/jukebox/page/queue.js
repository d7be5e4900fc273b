/** What comes up: each track with who has added it, and what may be done with it. */

import { $, cloneOf, counted, icon, nameIn, setText, showList, showTrack, span, withTime } from "./dom.js";
import { showNow } from "./now.js";
import { act, ask, complain, me, nameOf, sentence, whenNamed } from "./session.js";

const list = $("#coming .tracks");
/** Tracks that this page has voted for: the service tells nobody who has voted. */
const voted = new Set(JSON.parse(sessionStorage.getItem("voted") ?? "[]"));
let last;

export const isMine = ({ by }) => me.may.control || (me.may.own && by !== null && by === me.name);
export const hasVoted = (uid, kind) => voted.has(`${uid} ${kind}`);

/** Vote, or take the vote back. */
export async function vote({ uid, label }, kind) {
  const key = `${uid} ${kind}`, take_back = voted.has(key);
  const done = take_back ? "Your vote is taken back" : kind === "up" ? `You want “${label}” sooner` : `You voted to skip “${label}”`;
  if (!await act("queue", "vote", { uid, kind, take_back }, done)) return;
  if (take_back) voted.delete(key);
  else voted.add(key);
  sessionStorage.setItem("voted", JSON.stringify([...voted].slice(-500)));
  show();
}

/** What a page shows of an item: from its player if there is one, or else from what it was added with. */
export function trackOf({ label, args = {}, parameters }) {
  const title = parameters.title || args.title || nameIn(args.source || label || "Untitled");
  return { ...args, ...parameters, title };
}

const secondsOf = (item) => trackOf(item).duration;

/** Seconds until each item begins, as long as that is known. */
function waits(now, items) {
  const { duration, position = 0 } = now ? trackOf(now) : { duration: 0 };
  let time = now ? duration - position : 0;
  return items.map((item) => {
    const wait = time;
    time += secondsOf(item) ?? NaN;
    return wait;
  });
}

function makeButton(name, label, onclick) {
  const button = document.createElement("button");
  button.className = "icon";
  button.append(icon(name), document.createElement("span"));
  button.onclick = onclick;
  button.ariaLabel = label;
  return button;
}

function makeItem() {
  const element = cloneOf("track"), actions = $(".actions", element);
  const item = () => element.item;
  element.parts = {
    up: makeButton("up", "", () => vote(item(), "up")),
    first: makeButton("first", "", () => act("queue", "mv", { uids: [item().uid], to: first() }, `“${trackOf(item()).title}” is next`)),
    skip: makeButton("down", "", () => vote(item(), "skip")),
    remove: makeButton("close", "", () => remove(element)),
  };
  actions.append(...Object.values(element.parts));
  return element;
}

/** The place behind what plays. */
const first = () => last.modules.findIndex(({ state }) => state === "playing") + 1;

async function remove(element) {
  const { item } = element, hadFocus = element.contains(document.activeElement);
  const { parts: next } = element.nextElementSibling ?? element.previousElementSibling ?? {};
  if (!await act("queue", "rm", { uids: [item.uid] }, `“${trackOf(item).title}” is removed`)) return;
  if (hadFocus) (next && !next.remove.hidden ? next.remove : $("#coming-title")).focus();
}

function fillItem(element, item, wait, isFirst) {
  element.item = item;
  const track = trackOf(item), { up, first, skip, remove } = element.parts;
  const who = nameOf(item.by), begins = Number.isFinite(wait) && wait > 0 ? `in ${span(wait)}` : "";
  const reason = item.held ? `held: ${item.held}` : item.waits;
  const state = item.state === "ending" ? "ending…" : item.state === "starting" && isFirst ? "starting…" : "";
  const mine = isMine(item), against = mine && item.skips && `${counted(item.skips, "vote")} to skip it`;
  const about = [who && `added by ${who}`, state || begins, against, reason];
  showTrack(element, withTime(track), about.filter(Boolean).join(" · "));
  element.classList.toggle("mine", item.by !== null && item.by === me.name);
  up.hidden = !settings_data.app_votes_up || !me.may.add;
  skip.hidden = !me.may.add || mine;
  first.hidden = !me.may.order || isFirst;
  remove.hidden = !mine;
  setVotes(up, item.ups, hasVoted(item.uid, "up"), `Vote for ${track.title} to come sooner`);
  setVotes(skip, item.skips, hasVoted(item.uid, "skip"), `Vote against ${track.title}`);
  first.ariaLabel = `Play ${track.title} next`;
  remove.ariaLabel = `Remove ${track.title}`;
}

function setVotes(button, count, isPressed, label) {
  setText(button.lastChild, count ? String(count) : "");
  button.ariaLabel = count ? `${label}, ${counted(count, "vote")}` : label;
  button.ariaPressed = String(isPressed);
}

function show() {
  if (!last) return;
  const { modules, background, paused } = last;
  const busy = modules.find(({ state }) => state === "playing");
  const now = busy ?? (background?.state === "playing" ? background : null);
  showNow(now, background, Boolean(paused));
  const coming = modules.filter((item) => item !== busy), times = waits(busy, coming);
  showList(list, coming, ({ uid }) => uid, makeItem, (element, item, place) => fillItem(element, item, times[place], place === 0));
  const total = coming.reduce((sum, item) => sum + (secondsOf(item) ?? 0), 0);
  setText($("#total"), coming.length ? [counted(coming.length, "track"), total && span(total)].filter(Boolean).join(" · ") : "");
  $("#coming .empty").hidden = coming.length > 0;
  $("#paused").hidden = !paused;
}

/** Tell those who have added a track, and the host, why it could not be played. */
async function tellFaults(before, uids) {
  const foreign = new Set(before?.modules.filter((item) => !isMine(item)).map(({ uid }) => uid));
  for (const uid of uids.filter((each) => !foreign.has(each)).slice(-5)) {
    const item = await ask("queue", "item", { uid }).catch(() => null);
    if (item?.state !== "failed" || !isMine(item)) continue;
    const { args = {}, reason = "unknown reason" } = item;
    complain(`“${args.title || args.source}” could not be played: ${sentence(reason)}`);
  }
}

endpoints.queue.subscribe((state, gone) => {
  const before = last;
  last = state;
  show();
  const ended = Object.keys(gone);
  if (!ended.length) return;
  tellFaults(before, ended);
  dispatchEvent(new Event("ended"));
});
whenNamed(show);
