/** Inviting people, and sending them away. */

import { $, cloneOf, counted, setText, showList } from "./dom.js";
import { ask, me, say } from "./session.js";

const dialog = $("#people"), opener = $("#people-button"), form = $("#inviting form"), problem = $(".problem", dialog);
const base = new URL("./", location.href).href.replace(/#.*/, "");
const isHost = me.kind === "user" && me.may.control && Boolean(me.name);

const until = (seconds) => new Date(seconds * 1000).toLocaleString(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" });

/** Do something, and show the reason in the dialog if it does not work. */
async function attempt(action) {
  setText(problem, "");
  try {
    return await action();
  } catch ({ message }) {
    setText(problem, message);
  }
}

function showCode(element, { qr, link, only_here }) {
  const image = $(".qr", element);
  image.hidden = !qr;
  if (qr && image.getAttribute("src") !== qr) image.src = qr;
  setText($(".link", element), link);
  $(".only-here", element).hidden = !only_here;
}

function makeInvitation() {
  const element = cloneOf("invitation");
  $(".copy", element).onclick = () => copy($(".link", element));
  const withdraw = (with_guests) => attempt(async () => {
    await ask("guests", "withdraw", { id: element.dataset.key, with_guests });
    await load();
    form.elements.minutes.focus();
  });
  $(".withdraw", element).onclick = () => withdraw(false);
  $(".withdraw-all", element).onclick = () => withdraw(true);
  return element;
}

function fillInvitation(element, invitation) {
  showCode(element, invitation);
  const { joined, room, expires, on_screen } = invitation;
  const about = [`${joined} of ${counted(room, "guest")}`, `until ${until(expires)}`, on_screen && "on the screen"];
  setText($("summary", element), about.filter(Boolean).join(" · "));
  $(".withdraw-all", element).hidden = !joined;
}

/** Copy a text, or select it where a page must not write to the clipboard: without TLS. */
async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    say("The link is copied");
  } catch {
    getSelection().selectAllChildren(element);
  }
}

function makeGuest() {
  const element = document.createElement("li"), name = document.createElement("b"), button = document.createElement("button");
  button.className = "quiet small";
  button.textContent = "Send away";
  button.onclick = () => attempt(async () => {
    await ask("guests", "remove", { name: element.dataset.key });
    await load();
    $("#guests-title").focus();
  });
  element.append(name, button);
  return element;
}

function fillGuest(element, { called }) {
  setText($("b", element), called);
  $("button", element).ariaLabel = `Send ${called} away`;
}

async function load() {
  if (isHost) {
    const [invitations, guests] = await Promise.all([ask("guests", "invitations", { base }), ask("guests", "guests")]);
    const latest = invitations.at(-1)?.id, list = $("#invitations"), isNew = latest !== list.firstElementChild?.dataset.key;
    showList(list, [...invitations].reverse(), ({ id }) => id, makeInvitation, fillInvitation);
    if (isNew) for (const each of list.children) $("details", each).open = each.dataset.key === latest;
    showList($("#guest-list"), guests, ({ name }) => name, makeGuest, fillGuest);
    $("#inviting .empty").hidden = guests.length > 0;
    return;
  }
  const shown = await ask("guests", "screen", { base });
  $("#open").hidden = !shown;
  if (shown) showCode($("#open"), shown);
}

form.onsubmit = (event) => {
  event.preventDefault();
  const { minutes, room, on_screen } = form.elements;
  attempt(async () => {
    await ask("guests", "invite", { base, minutes: Number(minutes.value), room: Number(room.value), on_screen: on_screen.checked });
    await load();
  });
};

$("#leave").onclick = () => attempt(async () => {
  if (me.kind === "guest") await ask("guests", "leave");
  await fetch("logout", { method: "POST", redirect: "manual" });
  location.reload();
});

/** Milliseconds after which an open dialog asks again who has joined. */
const ROUND = 3000;

opener.onclick = () => {
  dialog.showModal();
  attempt(load);
  const round = setInterval(() => load().catch(() => {}), ROUND);
  dialog.addEventListener("close", () => clearInterval(round), { once: true });
};
$(".heading button", dialog).onclick = () => dialog.close();
dialog.onclick = (event) => {
  if (event.target === dialog) dialog.close(); // its backdrop
};

opener.hidden = !endpoints.guests;
setText($("span", opener), me.kind === "guest" ? me.called : "Invite");
$("#inviting").hidden = !isHost;
$("#leave").hidden = me.kind === "anybody" || !me.name;
setText($("#leave"), me.kind === "guest" ? "Leave" : "Log out");
setText($("#who"), {
  guest: `You are ${me.called}, until ${until(me.expires)}. Friends may join by this code, if the host has put it on the screen.`,
  user: isHost ? "An invitation is a code that people scan. Each of them chooses a name." : "",
  anybody: "Everybody who can reach this page may use it. Scan the code to open it.",
}[me.kind] ?? "");
