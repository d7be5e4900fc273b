// A module for Node.js that counts down. It pauses while it is suspended, and leaves at zero.
// It saves where it is, so if it crashes and is started again, it goes on from there.
import { Module } from "./shmooze.mjs";

const seconds = { type: "number", exclusiveMinimum: 0, maximum: 1e9, unit: "s" };

class Countdown extends Module {
  static description = {
    title: "Countdown",
    description: "Counts down, and leaves at zero.",
    label: "{seconds} s",
    args: { type: "object", properties: { seconds: { ...seconds, default: 10 } } },
    commands: {
      add: {
        description: "Add time. The result is the number of seconds that are left.",
        args: { type: "object", properties: { seconds }, required: ["seconds"] },
        result: { type: "number" },
      },
    },
    parameters: {
      left: { type: "number", unit: "s", role: "time" },
      total: { type: "number", unit: "s" },
      progress: { type: "number", role: "progress" },
    },
  };

  restore({ state }) {
    [this.left, this.total] = state;
  }

  init({ seconds }) {
    this.left ??= seconds;
    this.total ??= seconds;
    this.report();
  }

  play() {
    this.timer ??= setInterval(() => this.tick(), 1000);
  }

  suspend() {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  do_add({ seconds }) {
    this.left += seconds;
    this.total += seconds;
    this.report();
    return this.left;
  }

  tick() {
    this.left = Math.max(0, this.left - 1);
    this.report();
    if (this.left === 0) {
      this.suspend();
      this.leave();
    }
  }

  report() {
    this.setParameters({ left: this.left, total: this.total, progress: 1 - this.left / this.total });
    this.save([this.left, this.total]);
  }
}

Countdown.run();
