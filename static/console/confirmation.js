/** A question in the page before something is done that cannot be taken back. */

import { copy, write } from "./dom.js";

export class Confirmation {
  /** `onClose` is called when the question disappears while it has the focus. */
  constructor(onClose) {
    this.element = copy("confirmation");
    this.question = this.element.querySelector("p");
    [this.yes, this.no] = this.element.querySelectorAll("button");
    this.act = null;
    this.onClose = onClose;
    this.yes.addEventListener("click", () => this.close(this.act));
    this.no.addEventListener("click", () => this.close());
    this.element.addEventListener("keydown", ({ key }) => key === "Escape" && this.close());
  }

  /** Ask, and call `act` if the user agrees. "Cancel" has the focus: a second Enter or Space changes nothing. */
  ask(question, caption, act) {
    this.act = act;
    write(this.question, question);
    write(this.yes, caption);
    this.element.ariaLabel = question;
    this.element.hidden = false;
    this.no.focus();
  }

  close(act) {
    const hadFocus = this.element.contains(document.activeElement);
    this.element.hidden = true;
    this.act = null;
    if (hadFocus) this.onClose();
    act?.();
  }
}
