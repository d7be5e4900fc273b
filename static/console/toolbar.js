/** Commands to a whole queue or pool: pause, resume, skip, shuffle, repeat, clear. Only those that it offers are shown. */

import { Confirmation } from "./confirmation.js";
import { arrange, copy, make, write } from "./dom.js";

const BUTTONS = {
  pause: "Pause", finish: "Pause after this", resume: "Resume", skip: "Skip", shuffle: "Shuffle", clear: "Clear…",
};
const EXPLAINED = {
  pause: "Nothing new plays, and what plays is suspended",
  finish: "Nothing new plays; what plays goes on to its end",
  skip: "End what plays now",
  shuffle: "Put what waits in a random order",
  clear: "Remove everything that waits",
};

export class Toolbar {
  /** `perform(cmd, args, announcement)` sends a command for a user, and returns a promise of whether it succeeded. */
  constructor(name, perform) {
    this.perform = perform;
    this.element = copy("toolbar");
    this.element.ariaLabel = `Commands of ${name}`;
    this.status = this.element.querySelector(".paused");
    this.repeat = this.element.querySelector(".repeat");
    this.confirmation = new Confirmation(() => this.buttons.clear.focus());
    this.buttons = Object.fromEntries(Object.entries(BUTTONS).map(([act, text]) => [act, this.newButton(act, text)]));
    this.repeat.querySelector("select").addEventListener("change", ({ target }) => this.setRepeat(target.value));
    this.element.append(this.confirmation.element);
    this.commands = {};
    this.state = { modules: [] };
  }

  newButton(act, text) {
    const button = make("button", `command ${act}`, text);
    button.type = "button";
    button.title = EXPLAINED[act] || "";
    // The second click of a double click is not meant for what stands there by then.
    button.addEventListener("click", ({ detail }) => detail < 2 && button.ariaDisabled !== "true" && this[act](button));
    return button;
  }

  /** Offer those of the service's commands, {name: description}. */
  offer(commands) {
    this.commands = commands;
    this.show(this.state);
  }

  /** Show the state of the service, as `subscribe` gives it. */
  show(state) {
    this.state = state;
    const paused = state.paused ?? null;
    const { pause, resume, skip, shuffle, repeat, clear } = this.commands;
    const wanted = {
      pause: pause && paused === null, finish: pause && paused === null, resume: resume && paused !== null, skip, shuffle, clear,
    };
    const acts = Object.keys(wanted).filter((act) => wanted[act]);
    arrange(this.element.querySelector(".buttons"), [...acts.map((act) => this.buttons[act]), this.repeat]);
    this.repeat.hidden = !repeat;
    this.repeat.querySelector("select").value = state.repeat || "off";
    this.element.hidden = !acts.length && !repeat;
    write(this.status, paused === null ? "" : paused.suspend ? "Paused." : "Paused: what plays goes on, and nothing new begins.");
  }

  /** Send a command; the button keeps its place and the focus meanwhile. */
  async send(button, cmd, args, announcement) {
    button.ariaDisabled = "true";
    await this.perform(cmd, args, announcement);
    button.ariaDisabled = "false";
  }

  pause(button) {
    return this.send(button, "pause", { suspend: true }, "paused");
  }

  finish(button) {
    return this.send(button, "pause", {}, "paused after this one");
  }

  resume(button) {
    return this.send(button, "resume", {}, "resumed");
  }

  skip(button) {
    return this.send(button, "skip", {}, "skipped");
  }

  shuffle(button) {
    return this.send(button, "shuffle", {}, "shuffled");
  }

  clear(button) {
    const { modules, paused } = this.state;
    const count = modules.filter(({ state }) => state !== "playing" && state !== "ending").length;
    const known = paused?.suspend ? "" : ` (${count})`; // what was playing before a pause stays, too
    const undo = "history" in this.commands ? " They stay in the history, from which each can be added again." : "";
    this.confirmation.ask(`Remove all that wait${known}?${undo}`, "Remove them",
      () => this.send(button, "clear", {}, "all that waited are removed"));
  }

  setRepeat(mode) {
    return this.perform("repeat", { mode }, `repeat: ${mode}`);
  }
}
