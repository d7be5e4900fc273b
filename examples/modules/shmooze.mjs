/**
 * The child's side of a module, for Node.js 18 and later. One file, no dependencies; copy it.
 *
 *     import { Module } from "./shmooze.mjs";
 *
 *     class Hello extends Module {
 *       static description = { args: { properties: { name: { type: "string", default: "world" } } } };
 *       init({ name }) { this.name = name; }
 *       play() { this.setParameters({ says: `hello ${this.name}` }); }
 *       do_shout() { return this.name.toUpperCase(); }
 *     }
 *     Hello.run();
 *
 * A method is called for the command of the same name: `init`, `play`, `suspend`, `rm`, `restore`,
 * and `do_…` for a client's `tell_module`. It gets the arguments as one object, checked against the
 * description and with its defaults; what it returns, or resolves to, is the result. Commands are
 * executed one after the other. An exception is the answer's error. It may be written for users:
 * throw a plain Error. Mistakes in the program (TypeError and the like) are only reported on
 * standard error. An exception outside of commands ends the module, with its text as the reason.
 *
 * The program ends when the service hangs up. If it is started without host and ports, as with the
 * adapter `stdio`, it uses standard input and output, and `console` writes to standard error.
 * `docs/how-to/other-languages.md` has more.
 */
import fs from "node:fs";
import net from "node:net";
import readline from "node:readline";

const INTERNAL = "internal error; see the output of the module";
const MISTAKES = [TypeError, ReferenceError, RangeError, SyntaxError, EvalError, URIError];

export class Module {
  static description = {};
  #updates;

  /** Connect and serve commands until the service hangs up; or answer `--describe`. */
  static async run(argv = process.argv.slice(2)) {
    if (argv.at(-1) === "--describe") {
      process.stdout.write(JSON.stringify(this.description) + "\n");
      return;
    }
    const [host, ...ports] = argv.slice(-3);
    const isConnecting = ports.length === 2 && ports.every((port) => /^\d+$/.test(port));
    if (!isConnecting && !isPipe(0)) {
      process.stderr.write("this is a shmooze module; a queue or pool starts it and ends its arguments with HOST COMMAND_PORT UPDATE_PORT\n");
      process.exit(2);
    }
    const module = new this();
    process.on("uncaughtException", (bad) => {
      process.stderr.write(`${bad?.stack ?? bad}\n`);
      module.fail(explain(bad));
    });
    const commands = isConnecting ? await connect(host, ports[0]) : process.stdin;
    const answers = isConnecting ? commands : process.stdout;
    if (!isConnecting) globalThis.console = new console.Console(process.stderr);
    let last = Promise.resolve();
    readline
      .createInterface({ input: commands })
      .on("line", (line) => (last = last.then(() => module.#execute(JSON.parse(line), answers))))
      .on("close", () => last.finally(() => process.exit(0)));
    if (!isConnecting) {
      module.#updates = process.stdout;
      process.stdout.on("error", () => process.exit(0));
      return;
    }
    commands.pause(); // until updates can be sent
    module.#updates = await connect(host, ports[1]);
    module.#updates.resume(); // the answers to updates are read, and dropped
    commands.resume();
  }

  play() {}
  suspend() {}
  rm() {}

  /** Merge these into the parameters, which clients can see. */
  setParameters(parameters) {
    this.#update("set_parameters", { parameters });
  }

  /** Remove these parameters. */
  unsetParameters(names) {
    this.#update("unset_parameters", { parameters: names });
  }

  /** Save where this module is. If it is started again, `restore({ state })` comes before `init`. */
  save(state) {
    this.#update("save", { state });
  }

  /** Say that the work is done, and its result, as any JSON value. The service then ends this module. */
  result(value) {
    this.#update("result", { value });
  }

  /** Announce that this module is done. The service then hangs up, which ends the program. */
  leave() {
    this.#update("rm");
  }

  /** Say why this module cannot continue. The service then ends it. */
  fail(text) {
    this.#update("fail", { error: text });
  }

  #update(cmd, args) {
    this.#updates?.write(JSON.stringify({ cmd, args }) + "\n");
  }

  async #execute(command, answers) {
    answers.write(JSON.stringify(await this.#answer(command)) + "\n");
  }

  async #answer({ cmd, args = {} }) {
    const name = cmd.replace(/^do_/, "");
    const prefix = cmd === name ? "" : `${name}: `;
    const known = commandsOf(this);
    if (!known.includes(cmd)) {
      const others = known.filter((each) => each.startsWith("do_") === (cmd !== name));
      return failure(`unknown command ${quote([name])}; known: ${quote(others.map((each) => each.replace(/^do_/, "")))}`);
    }
    try {
      const { description } = this.constructor;
      const schema = cmd === "init" ? description.args : description.commands?.[name]?.args;
      const checks = cmd === "init" || prefix;
      return { success: true, result: (await this[cmd](checks ? check(args, schema) : args)) ?? null };
    } catch (bad) {
      if (!(bad instanceof Refusal)) process.stderr.write(`${bad?.stack ?? bad}\n`);
      const text = explain(bad);
      return failure(bad instanceof Refusal || text === INTERNAL ? prefix + text : text);
    }
  }
}

class Refusal extends Error {}

/** The commands that a module has: its methods of these names, inherited ones too. */
function commandsOf(module) {
  const names = new Set();
  for (let level = module; level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    Object.getOwnPropertyNames(level).forEach((name) => names.add(name));
  }
  return [...names].filter((name) => /^(init|play|suspend|rm|restore|do_.*)$/.test(name));
}

/** The arguments of a command with defaults. Throws a Refusal if they do not fit the schema. */
function check(args, schema) {
  const { properties = {}, required = [], additionalProperties = false } = schema ?? {};
  const known = Object.keys(properties);
  const unknown = Object.keys(args).find((name) => !Object.hasOwn(properties, name));
  if (unknown !== undefined && !additionalProperties) {
    throw new Refusal(`unknown argument ${quote([unknown])}; known: ${quote(known)}`);
  }
  const missing = required.find((name) => !Object.hasOwn(args, name));
  if (missing !== undefined) throw new Refusal(`argument ${quote([missing])} is missing`);
  const filled = { ...args };
  for (const name of known) {
    if (!Object.hasOwn(args, name)) {
      if ("default" in properties[name]) filled[name] = properties[name].default;
    } else {
      const wrong = mismatch(args[name], properties[name]);
      if (wrong) throw new Refusal(`argument ${quote([name])}: ${wrong}`);
    }
  }
  return filled;
}

const TYPES = { integer: "int", number: "float", string: "str", boolean: "bool" };

/** What is wrong with a value, by the part of JSON Schema that modules need most. */
function mismatch(value, { type, enum: choices, minimum, maximum, exclusiveMinimum, writeOnly }) {
  const actual = value === null ? "null" : Array.isArray(value) ? "array" : Number.isInteger(value) ? "integer" : typeof value;
  const allowed = [type ?? actual].flat();
  if (!allowed.includes(actual) && !(actual === "integer" && allowed.includes("number"))) {
    return `expected \`${allowed.map((each) => TYPES[each] ?? each).join(" | ")}\`, got \`${TYPES[actual] ?? actual}\``;
  }
  const shown = JSON.stringify(value), got = writeOnly ? "" : `, got ${shown}`; // a secret is not shown
  if (choices && !choices.some((each) => JSON.stringify(each) === shown)) {
    return `must be one of ${choices.map((each) => JSON.stringify(each)).join(", ")}${got}`;
  }
  if (value < minimum) return `must be at least ${minimum}${got}`;
  if (value > maximum) return `must be at most ${maximum}${got}`;
  if (value <= exclusiveMinimum) return `must be more than ${exclusiveMinimum}${got}`;
  return undefined;
}

function explain(bad) {
  const isMistake = MISTAKES.some((kind) => bad instanceof kind);
  return (!isMistake && bad?.message) || INTERNAL;
}

function failure(text) {
  return { success: false, error: text.split(/\s+/).join(" ") };
}

function quote(names) {
  return names.map((name) => `\`${name}\``).join(", ") || "none";
}

function isPipe(fd) {
  const file = fs.fstatSync(fd, { throwIfNoEntry: false });
  return file !== undefined && (file.isFIFO() || file.isSocket());
}

function connect(host, port) {
  return new Promise((resolve, reject) => {
    const stream = net.connect({ host, port: Number(port), noDelay: true }, () => resolve(stream));
    stream.on("error", (bad) => (stream.connecting ? reject(bad) : process.exit(0)));
  });
}
