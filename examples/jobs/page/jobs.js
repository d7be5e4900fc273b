/** The page of the job runner: a form, the jobs that run or wait, batches, and the history. */

import { fieldsOf, order, showAfter } from "./form.js";
import { showEnd, showJob, showLastLines, showList, watchOutput } from "./lists.js";

const { jobs } = (await shmooze_ready, endpoints);
const find = (id) => document.getElementById(id);
const form = document.querySelector("form"), filter = find("filter"), problem = document.querySelector("[role=alert]");
const pause = find("pause");
/** What may be added, and what runs or waits. */
let types = {}, living = [];
/** The ended jobs that are shown, and the number before which there are older ones. */
let ended = [], next = null;

const ask = (cmd, args) => jobs.deferQuery({ cmd, args });

/** Send a command for the user. If it was refused, show why. */
async function send(cmd, args) {
  problem.textContent = "";
  try {
    return await jobs.forceQuery({ cmd, args });
  } catch ({ message }) {
    problem.textContent = message;
    problem.scrollIntoView({ block: "nearest" });
  }
}

form.type.addEventListener("change", () => find("fields").replaceChildren(...fieldsOf(types[form.type.value])));
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await send("add", order(form))) for (const box of form.querySelectorAll("#after :checked")) box.checked = false;
});
pause.addEventListener("click", () => send(pause.ariaPressed === "true" ? "resume" : "pause"));

function showLiving({ modules, paused }) {
  living = modules;
  showList(find("jobs"), "job", living, (element, job) => {
    const details = element.querySelector("details");
    if (showJob(element, job, types[job.type]) && details.open) watchOutput(details, jobs);
  });
  const playing = living.filter(({ state }) => state === "playing").length;
  find("count").textContent = `${playing} running, ${living.length - playing} waiting`;
  pause.hidden = false;
  pause.ariaPressed = String(Boolean(paused));
  pause.textContent = paused ? "Resume" : "Pause";
  showAfter(find("after"), living);
}

/** Show the newest ended jobs; with `more`, older ones too. */
async function showHistory(more = false) {
  const args = { limit: 20 };
  if (filter.state.value) args.state = filter.state.value;
  if (filter.text.value.trim()) args.text = filter.text.value.trim();
  const asked = JSON.stringify(args);
  if (more) args.before = next;
  else args.limit = Math.max(20, Math.min(ended.length, 1000));
  const page = await ask("history", args);
  if (asked !== showHistory.latest && more) return;
  showHistory.latest = asked;
  ended = more ? [...ended, ...page.items] : page.items;
  next = page.next;
  showList(find("ended"), "end", ended, showEnd);
  for (const element of find("ended").children) showLastLines(element, jobs);
  find("older").hidden = next === null;
  find("all").hidden = filter.state.value !== "failed" || !ended.length;
}

/** How many jobs of a batch have ended in which way. */
async function outcomes(batch) {
  const states = ["done", "failed", "removed", "lost"];
  const counts = await Promise.all(states.map((state) => ask("history", { count: "type", batch, state, limit: 1000 })));
  return Object.fromEntries(states.map((state, i) => [state, counts[i].reduce((sum, { count }) => sum + count, 0)]));
}

/** Show the batches of which something runs, waits, or has ended a short time ago. */
async function showBatches() {
  const names = new Set([...living, ...ended.slice(0, 20)].map(({ batch }) => batch).filter(Boolean));
  const rows = await Promise.all([...names].slice(0, 10).map(async (batch) => ({ uid: batch, ...await outcomes(batch) })));
  showList(find("batches").querySelector("ol"), "batch", rows, (element, { uid: batch, ...counts }) => {
    const left = living.filter((job) => job.batch === batch);
    const over = Object.values(counts).reduce((sum, count) => sum + count, 0);
    const [remove, report] = element.querySelectorAll("button");
    element.querySelector("h3").textContent = batch;
    element.querySelector(".state").textContent = left.length ? `${left.length} to go` : "all ended";
    element.querySelector(".about").textContent = Object.entries(counts).filter(([, count]) => count).map(([state, count]) => `${count} ${state}`).join(", ");
    element.querySelector("progress").value = over / (over + left.length);
    element.querySelector("progress").ariaLabel = `Progress of ${batch}`;
    remove.hidden = !left.length;
    remove.onclick = () => send("rm", { batch });
    report.hidden = !("report" in types);
    report.textContent = left.length ? "Report when done" : "Report";
    report.onclick = () => send("add", { type: "report", args: { batch }, after: left.map(({ uid }) => uid), later: true });
  });
  find("batches").hidden = !rows.length;
  find("known").replaceChildren(...[...names].map((name) => new Option(name)));
}

for (const list of document.querySelectorAll("ol")) {
  list.addEventListener("click", ({ target }) => {
    const uid = target.closest("li")?.dataset.uid;
    if (target.localName !== "button" || list.closest("#batches")) return;
    if (list.id === "jobs") send("rm", { uids: [uid] });
    else send("requeue", { uids: [uid] });
  });
  list.addEventListener("toggle", ({ target }) => watchOutput(target, jobs), true);
}
filter.addEventListener("input", () => showHistory());
filter.addEventListener("submit", (event) => event.preventDefault());
find("older").addEventListener("click", () => showHistory(true));
find("all").addEventListener("click", () => send("requeue", { uids: ended.map(({ uid }) => uid) }));

({ modules: types } = await ask("describe"));
form.type.replaceChildren(...Object.entries(types).map(([name, { title }]) => new Option(title || name, name)));
form.type.dispatchEvent(new Event("change"));
let shown = null;
jobs.subscribe(async (state, gone) => {
  showLiving(state);
  if (shown === null || Object.keys(gone).length) await showHistory(); // what ended before is not among `gone`
  const batched = living.map(({ uid, batch }) => batch && uid).join(" ") + Object.keys(gone).length;
  if (batched !== shown) showBatches();
  shown = batched;
});
