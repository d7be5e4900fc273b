/** The details of one item, made when they are opened: what it reports, what it can be told, and its output. */

import { Commands } from "./commands.js";
import { arrange, copy, write } from "./dom.js";
import { Form } from "./forms.js";
import { Output } from "./output.js";
import { Parameter } from "./parameter.js";
import { Plot } from "./plot.js";
import { termsOf } from "./terms.js";
import { Tools } from "./tools.js";

const MAX_PARAMETERS = 200; // shown
const USAGE_PLOT = { width: 56, ink: "--control", span: [0, 10] }; // starts at 0; less than 10 % looks small

const progressFirst = (a, b) => (b === "progress") - (a === "progress") || (a < b ? -1 : 1);
export const percent = (value) => `${Math.round(value)} %`;
export const megabytes = (value) => `${(value / 1e6).toFixed(value < 1e7 ? 1 : 0)} MB`;

export class Details {
  /** For a Row; see there for its options. */
  constructor(row, { ask, tell, describe, tools }) {
    Object.assign(this, { row, describe });
    const { uid, name, type, traces } = row, send = (cmd, args) => ask(tell, { uid, cmd, args }, true);
    this.element = copy("details");
    this.parameters = new Map();
    this.commands = new Commands(name, `tell ${type}`, send);
    this.form = new Form("command-form", "Tell", `Tell ${name}`, `tell ${type}`, send);
    this.output = new Output(uid, row.title, ask);
    this.tools = tools && new Tools(row, tools);
    this.plots = {
      cpu: new Plot("CPU", percent, { ...USAGE_PLOT, trace: traces.cpu }),
      memory: new Plot("memory", megabytes, { ...USAGE_PLOT, trace: traces.memory }),
    };
    for (const [name, plot] of Object.entries(this.plots)) this.part(name).append(plot.element);
    this.part("parts").append(...this.tools ? [this.tools.element] : [], this.commands.element);
    this.part("anything").append(this.form.element);
    this.element.append(this.output.element);
    this.redescribe();
  }

  part(name) {
    return this.element.querySelector("." + name);
  }

  /** Show what its type describes now. The caller shows the item again. */
  redescribe() {
    this.parameters.clear(); // they are made anew
    this.commands.show(this.describe(this.row.type).commands || {});
  }

  show() {
    const { module } = this.row, { by, added, uid, host } = module;
    write(this.part("origin"), [
      module.type, uid, by && `by ${by}`, added && `added ${new Date(added).toLocaleString()}`, host && `on ${host}`,
    ].filter(Boolean).join(" · "));
    write(this.part("why"), [this.row.why, this.row.turn, termsOf(module)].filter(Boolean).join(" · "));
    this.tools?.show(module);
    this.showParameters(module.parameters, this.describe(module.type).parameters || {});
    this.showUsage();
  }

  showParameters(values, described) {
    const order = new Map(Object.keys(described).map((name, place) => [name, place]));
    const place = (name) => order.get(name) ?? order.size;
    const inOrder = (a, b) => place(a) - place(b) || progressFirst(a, b);
    const all = Object.keys(values);
    const names = all.length > MAX_PARAMETERS ? all.sort(inOrder).slice(0, MAX_PARAMETERS) : all;
    const wanted = new Set(names);
    let changed = false;
    for (const name of this.parameters.keys()) if (!wanted.has(name)) changed = this.parameters.delete(name);
    for (const name of names) {
      if (!this.parameters.has(name))
        changed = this.parameters.set(name, new Parameter(name, described[name], this.row.traceOf(name, values[name])));
      this.parameters.get(name).show(values[name]);
    }
    if (changed)
      arrange(this.part("parameters"), names.sort(inOrder).map((name) => this.parameters.get(name).element));
    const hidden = all.length - names.length;
    write(this.part("not-shown"), hidden ? `and ${hidden} more parameters` : "");
  }

  showUsage() {
    const { usage } = this.row;
    this.part("usage").hidden = !usage;
    if (!usage) return;
    for (const [name, text] of [["cpu", `${percent(usage.cpu)} CPU`], ["memory", megabytes(usage.memory)]]) {
      write(this.part(name).firstElementChild, text);
      this.plots[name].draw();
    }
  }

  open() {
    this.element.hidden = false;
    this.output.open();
  }

  /** Hide them. They are kept with what was entered. */
  close() {
    this.element.hidden = true;
    this.output.close();
    this.commands.clear();
  }
}
