/** What is seldom done with one item: hold it, vote for it, move it far. Only what the service offers is shown. */

import { arrange, copy, make } from "./dom.js";

const BUTTONS = { hold: "Hold", release: "Release", skip: "Skip", up: "Vote up", down: "Vote to skip" };

export class Tools {
  /**
   * `perform(cmd, args, announcement)` sends a command for a user. `offers(cmd)` says whether the service has a
   * command, `votes` are the kinds of votes that it takes. `move(row, place)` moves a row; null if rows cannot be moved.
   */
  constructor(row, { perform, offers, votes = () => [], move, count }) {
    Object.assign(this, { row, perform, offers, votes, move, count });
    this.element = copy("tools");
    this.place = this.element.querySelector("form");
    this.place.addEventListener("submit", (event) => {
      event.preventDefault();
      this.moveTo(this.place.elements.place);
    });
    this.buttons = Object.fromEntries(Object.entries(BUTTONS).map(([act, text]) => [act, this.newButton(act, text)]));
  }

  newButton(act, text) {
    const button = make("button", `command ${act}`, text);
    button.type = "button";
    button.addEventListener("click", async ({ detail }) => {
      if (detail > 1 || button.ariaDisabled === "true") return;
      button.ariaDisabled = "true"; // and not disabled, which would take the focus away
      await this[act]();
      button.ariaDisabled = "false";
    });
    return button;
  }

  /** Show what can be done with the item as it is. */
  show({ state, held }) {
    const { offers } = this, votes = this.votes();
    const wanted = {
      hold: offers("hold") && !held, release: offers("release") && held, skip: offers("skip") && state === "playing",
      up: votes.includes("up") && state !== "playing", down: votes.includes("skip"),
    };
    const focused = this.element.contains(document.activeElement);
    const shown = Object.keys(wanted).filter((act) => wanted[act]).map((act) => this.buttons[act]);
    arrange(this.element, [...shown, this.place]);
    if (focused && !this.element.contains(document.activeElement)) shown[0]?.focus(); // "Release" in place of "Hold"
    for (const [act, button] of Object.entries(this.buttons)) button.ariaLabel = `${BUTTONS[act]} ${this.row.name}`;
    this.place.hidden = !this.move();
  }

  hold() {
    return this.perform("hold", { uids: [this.row.uid] }, `${this.row.title} held`);
  }

  release() {
    return this.perform("release", { uids: [this.row.uid] }, `${this.row.title} released`);
  }

  skip() {
    return this.perform("skip", { uid: this.row.uid }, `${this.row.title} skipped`);
  }

  up() {
    return this.perform("vote", { uid: this.row.uid, kind: "up" }, `voted for ${this.row.title}`);
  }

  down() {
    return this.perform("vote", { uid: this.row.uid, kind: "skip" }, `voted to skip ${this.row.title}`);
  }

  moveTo(input) {
    const place = Math.min(Number(input.value), this.count()) - 1;
    if (place >= 0) this.move()(this.row, place);
    input.value = "";
  }
}
