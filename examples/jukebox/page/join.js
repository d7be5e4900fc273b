/** Becoming a guest: an invitation is exchanged for a token of one's own. */

import { $, setText } from "./dom.js";
import { ask, me } from "./session.js";

const part = $("#join"), form = $("form", part), problem = $(".problem", part);

/** Log in with a token: the gateway keeps it in a cookie that no script can read. */
async function logIn(token) {
  const answer = await fetch("login", { method: "POST", body: new URLSearchParams({ token }), redirect: "manual" });
  if (answer.type !== "opaqueredirect") throw new Error("The token was not accepted. Scan the code once more.");
}

let token; // of the guest, as soon as there is one: to join again would need another name

form.onsubmit = async (event) => {
  event.preventDefault();
  const button = $("button", form);
  button.disabled = true;
  setText(problem, "");
  try {
    token ??= (await ask("guests", "join", { called: form.elements.called.value })).token;
    await logIn(token);
    location.replace("./");
  } catch ({ message }) {
    setText(problem, message);
    button.disabled = false;
    form.elements.called.focus();
  }
};

export async function join() {
  part.hidden = false;
  if (!me.problem) return form.elements.called.focus();
  form.remove();
  setText(problem, me.problem);
  await fetch("logout", { method: "POST", redirect: "manual" }); // so that the next invitation can log in
}
