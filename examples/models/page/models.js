/** A chat with whatever models the pool has, over the API that clients of OpenAI use. */

const { models } = (await shmooze_ready, endpoints);
const form = document.querySelector("form"), list = document.getElementById("models");
const log = document.getElementById("log"), chat = document.getElementById("chat"), hint = document.getElementById("hint");
const send = document.getElementById("send"), stop = document.getElementById("stop"), clear = document.getElementById("clear");

/** What was said, as the API has it. */
let messages = [];
/** The answer that is under way, and the place where it is shown. */
let asking = null, awaited = null;
/** For each model that has been started: `loading`, `ready` or `resting`. */
let states = {};

const WAITS = { loading: "is loading…", ready: "is thinking…" };

/** Show a message, and return its element. */
function show(who, text, isMine) {
  const item = document.querySelector("template").content.firstElementChild.cloneNode(true);
  item.classList.toggle("mine", isMine);
  item.querySelector("small").textContent = who;
  item.querySelector("p").textContent = text;
  chat.append(item);
  log.scrollTop = log.scrollHeight;
  clear.hidden = false;
  hint.hidden = true;
  return item;
}

/** The pieces of an answer, as they come. */
async function* pieces(response) {
  let rest = "";
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: {")) yield JSON.parse(line.slice(6)).choices[0]?.delta.content ?? "";
    }
  }
}

async function refusal(response) {
  const { error } = await response.json().catch(() => ({}));
  return new Error(error?.message ?? error ?? `status ${response.status}`);
}

/** Ask a model, and show its answer word by word. */
async function ask(model, signal) {
  const headers = { "Content-Type": "application/json" };
  if (shmooze_token) headers.Authorization = `Bearer ${shmooze_token}`;
  const body = JSON.stringify({ model, messages, stream: true });
  const response = await fetch(`${models.url}/v1/chat/completions`, { method: "POST", headers, body, signal });
  if (!response.ok) throw await refusal(response);
  const place = awaited.querySelector("p");
  let answer = "";
  try {
    for await (const piece of pieces(response)) {
      answer += piece;
      awaited.querySelector("small").textContent = model;
      place.textContent = answer;
      log.scrollTop = log.scrollHeight;
    }
  } finally {
    if (answer) messages.push({ role: "assistant", content: answer.trim() });
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = form.question.value.trim(), model = form.model.value;
  if (asking || !question) return;
  form.question.value = "";
  messages.push({ role: "user", content: question });
  show("You", question, true);
  awaited = show(model, "", false);
  awaited.dataset.model = model;
  asking = new AbortController();
  showStates();
  const own = awaited;
  try {
    await ask(model, asking.signal);
  } catch (error) {
    const isStopped = error.name === "AbortError";
    own.querySelector("small").textContent = isStopped ? `${model}, stopped` : `${model} has not answered: ${error.message}`;
    own.querySelector("small").classList.toggle("problem", !isStopped);
  }
  asking = awaited = null;
  showStates();
  form.question.focus();
});

form.question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
stop.addEventListener("click", () => asking?.abort());
clear.addEventListener("click", () => {
  asking?.abort();
  messages = [];
  chat.replaceChildren();
  clear.hidden = true;
  hint.hidden = false;
});

function showStates() {
  for (const item of list.children) {
    const web = states[item.dataset.model] ?? "";
    item.dataset.web = web;
    item.lastChild.textContent = ` ${web || "not started"}`;
  }
  if (awaited && !awaited.querySelector("p").textContent) {
    const { model } = awaited.dataset;
    awaited.querySelector("small").textContent = `${model} ${WAITS[states[model]] ?? "waits for room…"}`;
  }
  send.hidden = asking !== null;
  stop.hidden = asking === null;
}

const names = await models.deferQuery({ cmd: "modules_available" });
form.model.replaceChildren(...names.map((name) => new Option(name)));
list.replaceChildren(...names.map((name) => {
  const item = document.createElement("li"), title = document.createElement("b");
  title.textContent = name;
  item.dataset.model = name;
  item.append(title, " ");
  return item;
}));
models.subscribe(({ modules }) => {
  states = Object.fromEntries(modules.map(({ type, web }) => [type, web]));
  showStates();
});
