/**
 * The first page: every service of the application, and its queue or pool to steer.
 *
 * Services are told by what they answer. Each is looked at every second, in one request, and what is
 * shown is changed in place, keyed by uid and name, so that focus and selection stay where they are.
 * What a person orders is sent at once, beside the looking: removing may take seconds.
 */

const LOOK = 1000; // ms between two looks at a service
const GLANCE = 5000; // ms at one that is neither queue nor pool: it only tells whether it is alive
const EVERYTHING = { parameters: true };
const LABELS = {
  up: (type) => `Move ${type} up`,
  down: (type) => `Move ${type} down`,
  remove: (type) => `Remove ${type}`,
};

const byId = (id) => document.getElementById(id);
const copy = (id) => byId(id).content.firstElementChild.cloneNode(true);
const announce = (text) => { byId("announcer").textContent = text; };

/** Set a text only where it differs, so that nothing is announced or deselected for nothing. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Make `wanted` the children of `parent`, moving as few as possible and keeping the focus. */
function arrange(parent, wanted) {
  const focused = document.activeElement;
  for (const child of [...parent.children]) if (!wanted.includes(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of wanted) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

/** A parameter's value for people: text as it is, lines as lines, numbers to six digits or more. */
function readable(value) {
  if (typeof value === "string") return value;
  if (typeof value === "number") return String(Number(value.toPrecision(Math.abs(value) < 1000 ? 6 : 15)));
  if (Array.isArray(value) && value.length && value.every((line) => typeof line === "string")) return value.join("\n");
  return JSON.stringify(value);
}

/** The arguments that a person typed. Throws an Error that says what is wrong with them. */
function parseArguments(text) {
  let args;
  try {
    args = JSON.parse(text.trim() || "{}");
  } catch (error) {
    throw new Error(`The arguments are not valid JSON: ${error.message}`);
  }
  if (args === null || typeof args !== "object" || Array.isArray(args))
    throw new Error('The arguments must be a JSON object, such as {"seconds": 30}.');
  return args;
}

/** One module in a list, with a button for each of `actions` ({name: function(uid)}). */
class Row {
  constructor(uid, actions) {
    this.uid = uid;
    this.element = copy("module");
    this.parameters = new Map();
    this.buttons = new Map();
    for (const [name, action] of Object.entries(actions)) {
      const button = copy(name);
      button.addEventListener("click", () => button.ariaDisabled !== "true" && action(this));
      this.buttons.set(name, button);
      this.part("actions").append(button);
    }
    const code = this.part("uid");
    code.textContent = uid.slice(0, 8);
    code.title = uid;
  }

  part(name) {
    return this.element.querySelector("." + name);
  }

  show({ type, state, parameters = {} }) {
    this.type = type;
    write(this.part("type"), type);
    write(this.part("state"), state);
    this.element.dataset.state = state;
    for (const [name, button] of this.buttons) button.ariaLabel = button.title = LABELS[name](type);
    const names = Object.keys(parameters).sort();
    for (const name of this.parameters.keys()) if (!(name in parameters)) this.parameters.delete(name);
    arrange(this.part("parameters"), names.map((name) => this.parameter(name, parameters[name])));
  }

  parameter(name, value) {
    if (!this.parameters.has(name)) {
      const pair = document.createElement("div");
      const term = document.createElement("dt");
      term.textContent = name;
      pair.append(term, document.createElement("dd"));
      this.parameters.set(name, pair);
    }
    const pair = this.parameters.get(name);
    const text = readable(value);
    write(pair.lastChild, text);
    pair.classList.toggle("long", text.length > 40 || text.includes("\n"));
    return pair;
  }

  /** A button that can do nothing keeps its place and the focus. */
  enable(name, enabled) {
    const button = this.buttons.get(name);
    if (button) button.ariaDisabled = String(!enabled);
  }
}

/** Modules in order. Its element is a copy of the template `id`. */
class Roster {
  constructor(id, actions) {
    this.element = copy(id);
    this.list = this.element.querySelector(".modules");
    this.actions = actions;
    this.rows = [];
  }

  show(modules) {
    const known = new Map(this.rows.map((row) => [row.uid, row]));
    const old = this.rows;
    this.rows = modules.map((module) => {
      const row = known.get(module.uid) || new Row(module.uid, this.actions);
      row.show(module);
      return row;
    });
    const heir = this.heir(old);
    arrange(this.list, this.rows.map((row) => row.element));
    if (heir) heir.focus();
    this.rows.forEach((row, place) => {
      row.enable("up", place > 0);
      row.enable("down", place < this.rows.length - 1);
      row.enable("remove", row.element.dataset.state !== "ending");
    });
    this.element.querySelector(".hint").hidden = this.rows.length > 0;
  }

  /** What gets the focus if the row that has it is about to go. */
  heir(old) {
    const place = old.findIndex((row) => row.element.contains(document.activeElement));
    if (place < 0 || this.rows.includes(old[place])) return null;
    const near = [...old.slice(place + 1), ...old.slice(0, place).reverse()];
    const next = near.find((row) => this.rows.includes(row));
    const name = [...old[place].buttons].find(([, button]) => button === document.activeElement)[0];
    return next ? next.buttons.get(name) : this.element.closest(".service").querySelector("select");
  }
}

/** A form that orders a module of a type with arguments: `send(type, args)` must give a promise. */
class Order {
  constructor(caption, send) {
    this.element = copy("order");
    this.element.ariaLabel = caption;
    this.types = this.element.elements.type;
    this.args = this.element.elements.args;
    this.problem = this.element.querySelector(".problem");
    this.problem.id = `problem-${Order.count++}`;
    this.element.querySelector("button").textContent = caption;
    this.args.setAttribute("aria-describedby", this.problem.id);
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit(send);
    });
  }

  offer(types) {
    const chosen = this.types.value;
    this.types.replaceChildren(...types.map((type) => new Option(type)));
    if (types.includes(chosen)) this.types.value = chosen;
    this.element.hidden = types.length === 0;
  }

  async submit(send) {
    const type = this.types.value;
    write(this.problem, "");
    this.args.ariaInvalid = "false";
    let args;
    try {
      args = parseArguments(this.args.value);
    } catch (error) {
      write(this.problem, error.message);
      this.args.ariaInvalid = "true";
      this.args.focus();
      return;
    }
    try {
      await send(type, args);
    } catch (error) {
      write(this.problem, error.message);
    }
  }
}
Order.count = 0;

/** One service: what it is, what it has, and what can be ordered from it. */
class Service {
  constructor(name, endpoint) {
    this.name = name;
    this.endpoint = endpoint;
    this.kind = null; // "queue", "pool", "other"; null while that is not known
    this.next = 0; // when to look again
    this.element = copy("service");
    this.heading = this.element.querySelector("h2");
    this.heading.textContent = name;
    this.heading.id = `service-${name}`;
    this.element.setAttribute("aria-labelledby", this.heading.id);
    this.problem = this.element.querySelector(".problem");
    this.fixed = this.element.children.length;
    this.status("looking", "Looking…");
  }

  status(state, text) {
    this.element.dataset.status = state;
    write(this.element.querySelector(".status"), text);
  }

  /** Asked in one turn, these go out in one request. */
  ask(cmd, args) {
    return new Promise((resolve, reject) =>
      this.endpoint.deferQuery({ cmd, args }, resolve, (reason) => reject(new Error(reason))));
  }

  /** Do what a person wants, now; then look at what came of it. */
  async order(cmd, args) {
    const done = new Promise((resolve, reject) =>
      this.endpoint.forceQuery({ cmd, args }, resolve, (reason) => reject(new Error(reason))));
    this.look();
    try {
      return await done;
    } finally {
      this.look();
    }
  }

  /** The same, its failure said at the top of the service. */
  async act(cmd, args, said) {
    try {
      await this.order(cmd, args);
      write(this.problem, "");
      announce(said);
    } catch (error) {
      write(this.problem, error.message);
    }
  }

  async look() {
    this.next = Infinity;
    try {
      if (this.kind === "queue" || this.kind === "pool") await this.update();
      else await this.recognise();
    } finally {
      this.next = performance.now() + (this.kind === "other" ? GLANCE : LOOK);
    }
  }

  async recognise() {
    const [queue, pool] = await Promise.allSettled([this.ask("queue", EVERYTHING), this.ask("pool", EVERYTHING)]);
    if (!this.endpoint.alive) return this.dead(queue.reason);
    const kind = queue.value ? "queue" : pool.value ? "pool" : "other";
    if (kind !== this.kind) this.become(kind);
    this.status("alive", "Alive");
    if (kind !== "other") await this.update();
  }

  dead(error) {
    if ("lost" in document.documentElement.dataset) return; // that is said elsewhere
    if (this.kind) this.become(null);
    this.status("dead", "Not answering");
    write(this.problem, error.message);
  }

  become(kind) {
    this.kind = kind;
    write(this.problem, "");
    write(this.element.querySelector(".kind"), kind === "other" || !kind ? "" : kind);
    [...this.element.children].slice(this.fixed).forEach((part) => part.remove());
    if (kind === "queue" || kind === "pool") this.build(kind);
  }

  build(kind) {
    const rm = (row) => {
      row.enable("remove", false);
      this.act("rm", { uids: [row.uid] }, `${row.type} removed`);
    };
    const moves = { up: (row) => this.move(row, -1), down: (row) => this.move(row, 1) };
    this.roster = new Roster("roster", kind === "queue" ? { ...moves, remove: rm } : { remove: rm });
    const add = new Order("Add", async (type, args) => {
      await this.order("add", { type, args });
      announce(`${type} added`);
    });
    this.element.append(this.roster.element, add.element);
    this.offer(add, "modules_available");
    this.background = kind === "queue" ? new Roster("background", {}) : null;
    if (!this.background) return;
    const set = new Order("Set background", async (type, args) => {
      await this.order("set_bg", { type, args });
      announce(`background is ${type}`);
    });
    this.background.element.append(set.element);
    this.element.append(this.background.element);
    this.offer(set, "backgrounds_available");
  }

  offer(form, cmd) {
    this.ask(cmd).then((types) => form.offer(types), (error) => write(this.problem, error.message));
  }

  async update() {
    const kind = this.kind;
    const [modules, bg] = await Promise.allSettled(
      kind === "queue" ? [this.ask("queue", EVERYTHING), this.ask("bg", EVERYTHING)] : [this.ask("pool", EVERYTHING)]);
    if (!this.endpoint.alive) return this.dead(modules.reason);
    if (this.kind !== kind) return;
    if (modules.value) this.roster.show(modules.value);
    if (bg && bg.status === "fulfilled") this.background.show(bg.value ? [bg.value] : []);
    const failed = [modules, bg].find((answer) => answer && answer.reason);
    this.status(failed ? "dead" : "alive", failed ? failed.reason.message : "Alive");
  }

  move(row, step) {
    const uids = this.roster.rows.map((each) => each.uid);
    const place = uids.indexOf(row.uid) + step;
    uids.splice(place, 0, ...uids.splice(place - step, 1));
    this.act("mv", { uids: uids.slice(0, Math.max(place, place - step) + 1) },
      `${row.type} is now ${place + 1} of ${uids.length}`);
  }
}

const services = new Map();

function tick() {
  for (const [name, endpoint] of Object.entries(endpoints)) {
    if (services.has(name)) continue;
    services.set(name, new Service(name, endpoint));
    byId("services").append(services.get(name).element);
  }
  if (document.hidden || "lost" in document.documentElement.dataset) return;
  for (const service of services.values()) if (service.next <= performance.now()) service.look();
}

shmooze_ready.then(({ name, ports = {} }) => {
  if (name) document.title = name;
  byId("none").hidden = Object.keys(endpoints).length > 0;
  tick();
  setInterval(tick, LOOK / 4);
  document.addEventListener("visibilitychange", tick);
});
