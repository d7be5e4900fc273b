/** The lists of jobs: each has an element that stays while the job does. */

const part = (element, name) => element.querySelector(name);

/** Write a text only if it is another one, so that a selection stays. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Make a list show these items. The element of each is kept, and filled by `fill`. */
export function showList(list, template, items, fill) {
  const known = new Map([...list.children].map((element) => [element.dataset.uid, element]));
  const elements = items.map((item) => {
    const element = known.get(item.uid) ?? document.getElementById(template).content.firstElementChild.cloneNode(true);
    element.dataset.uid = item.uid;
    fill(element, item);
    return element;
  });
  const isSame = elements.length === list.children.length && elements.every((each, i) => each === list.children[i]);
  if (isSame) return;
  for (const element of known.values()) if (!elements.includes(element)) element.remove();
  elements.forEach((element, i) => {
    if (list.children[i] !== element) list.insertBefore(element, list.children[i] ?? null);
  });
}

const nameOf = ({ label, type }) => label || type;

const WORDS = { playing: "running", suspended: "waiting" };

function parametersOf({ parameters }, { parameters: described = {} } = {}) {
  const shown = Object.entries(parameters ?? {}).filter(([name]) => name !== "progress");
  return shown.map(([name, value]) => `${described[name]?.title || name}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
}

/** When a job that has failed is tried again. */
function attempt({ restarts, next_attempt_at: at }) {
  if (at) return `has failed, and is tried again at ${new Date(1000 * at).toLocaleTimeString()}`;
  return restarts && `attempt ${restarts + 1}`;
}

/** Returns whether its state is another one. */
export function showJob(element, job, described) {
  const { state, waits, held, priority, parameters = {}, batch } = job;
  const isNew = element.dataset.state !== state;
  element.dataset.state = state;
  write(part(element, "h3"), nameOf(job));
  write(part(element, ".state"), WORDS[state] ?? state);
  const about = [batch && `batch ${batch}`, priority && `priority ${priority}`, attempt(job), ...parametersOf(job, described)];
  write(part(element, ".about"), about.filter(Boolean).join(" · "));
  write(part(element, ".waits"), held || waits || "");
  const progress = part(element, "progress");
  progress.hidden = state !== "playing";
  if (typeof parameters.progress === "number") progress.value = parameters.progress;
  progress.ariaLabel = `Progress of ${nameOf(job)}`;
  part(element, "pre").ariaLabel = `Output of ${nameOf(job)}`;
  part(element, "button").ariaLabel = `Remove ${nameOf(job)}`;
  return isNew;
}

/** A result: a link, if it has one, and the rest as JSON. */
function showResult(place, result) {
  const text = result === undefined ? "" : typeof result === "string" ? result : JSON.stringify(result);
  if (place.dataset.text === text) return;
  place.dataset.text = text;
  place.textContent = text;
  if (typeof result?.url !== "string" || !URL.canParse(result.url, document.baseURI)) return;
  const url = new URL(result.url, document.baseURI), { url: shown, ...rest } = result;
  if (!["http:", "https:"].includes(url.protocol)) return;
  const link = document.createElement("a");
  Object.assign(link, { href: url.href, textContent: shown });
  place.replaceChildren(link, ` ${JSON.stringify(rest)}`);
}

function time(text) {
  const date = new Date(text), isToday = date.toDateString() === new Date().toDateString();
  return isToday ? date.toLocaleTimeString() : date.toLocaleString();
}

export function showEnd(element, item) {
  const { state, reason, result, ended, seconds, batch } = item;
  element.dataset.state = state;
  write(part(element, "h3"), nameOf(item));
  write(part(element, ".state"), state);
  const about = [time(ended), seconds !== null && `took ${seconds.toFixed(1)} s`, batch && `batch ${batch}`];
  write(part(element, ".about"), about.filter(Boolean).join(" · "));
  showResult(part(element, ".result"), result);
  write(part(element, ".waits"), state === "done" ? "" : reason);
  part(element, "pre").ariaLabel = `Output of ${nameOf(item)}`;
  part(element, "button").ariaLabel = `${nameOf(item)} again`;
}

const NOTHING = "It has printed nothing.";

/** Show what a job prints while its details are open: live while it runs. */
export async function watchOutput(details, jobs) {
  const place = part(details, "pre"), { uid, state } = details.closest("li").dataset;
  details.stream?.close();
  if (!details.open) return;
  let lines = [];
  const show = (more) => {
    lines = [...lines, ...more].slice(-1000);
    place.textContent = lines.join("\n") || NOTHING;
    place.scrollTop = place.scrollHeight;
  };
  if (state === "playing") {
    show([]);
    details.stream = new EventSource(`${jobs.url}/output/${uid}`);
    details.stream.addEventListener("lines", ({ data }) => show(JSON.parse(data).lines));
    details.stream.addEventListener("end", () => details.stream.close());
  } else {
    // A job that has ended and has printed nothing is unknown there.
    const explain = ({ message }) => message.startsWith("no module") ? [] : [message];
    show(await jobs.deferQuery({ cmd: "output", args: { uid, limit: 1000 } }).catch(explain));
  }
}

/** Show the last lines that a job has printed, which often say why it has failed. */
export async function showLastLines(element, jobs) {
  if (element.dataset.state !== "failed" || element.dataset.explained) return;
  element.dataset.explained = "true";
  const { uid } = element.dataset;
  const lines = await jobs.deferQuery({ cmd: "output", args: { uid, limit: 2 } }).catch(() => []);
  write(part(element, ".last"), lines.join("\n"));
}
