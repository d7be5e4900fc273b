/** The list of services beside or above them: state, counts, and what folds and unfolds all. */

import { copy, make, write } from "./dom.js";

const FEW = 4; // services up to which all are unfolded at first

export class Navigation {
  constructor() {
    this.element = document.getElementById("navigation");
    this.list = this.element.querySelector("ol");
    [this.unfold, this.fold] = this.element.querySelectorAll("button");
    this.entries = new Map(); // by service
    this.unfold.addEventListener("click", () => this.setAll(false));
    this.fold.addEventListener("click", () => this.setAll(true));
  }

  /** Add a service. Where there are many, those that the user has not unfolded before are folded. */
  add(service, total) {
    const item = copy("nav-item"), link = item.querySelector("a");
    link.href = `#${service.heading.id}`;
    link.addEventListener("click", (event) => {
      event.preventDefault();
      service.setFolded(false);
      service.element.scrollIntoView({ block: "start" });
      service.heading.focus({ preventScroll: true });
    });
    write(item.querySelector(".name"), service.name);
    this.entries.set(service, item);
    this.list.append(item);
    service.setFolded(service.wasFolded ?? total > FEW, false);
    service.onSummary = () => this.show(service);
    this.show(service);
    this.element.hidden = this.entries.size < 2;
    document.documentElement.dataset.services = this.entries.size > FEW ? "many" : "few";
  }

  show(service) {
    const item = this.entries.get(service), { status } = service.element.dataset;
    item.dataset.status = status;
    const about = status === "alive" ? service.counts.map(([word, count]) => `${count} ${word}`).join(", ") : service.statusText;
    item.querySelector("a").title = [service.name, about].filter(Boolean).join(": ");
    write(item.querySelector(".about"), about);
    const total = service.counts.reduce((sum, [, count]) => sum + count, 0);
    write(item.querySelector(".total"), status === "alive" ? String(total || "") : status === "dead" ? "!" : "");
  }

  setAll(isFolded) {
    for (const service of this.entries.keys()) service.setFolded(isFolded);
  }
}
