/**
 * A small plot of a number over the last minutes.
 *
 * Drawing reads no sizes or styles from the page, since each read would force a layout.
 */

const SPAN = 5 * 60e3; // ms
const STEP = 1000; // ms between two stored values, and between two drawings
const HEIGHT = 18; // px

const inks = new Map();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => inks.clear());

/** The value of a custom property of theme.css. */
function colour(name) {
  if (!inks.has(name)) inks.set(name, getComputedStyle(document.documentElement).getPropertyValue(name));
  return inks.get(name);
}

/** The values of a number over the last minutes. */
export class Trace {
  times = [];
  values = [];

  add(value) {
    const { times, values } = this, now = performance.now(), last = times.length - 1;
    if (last > 0 && now - times[last - 1] < STEP) values[last] = value;
    else if (last < 0 || values[last] !== value) {
      times.push(now);
      values.push(value);
    }
    // Keep one value from before the span: it still holds at its beginning.
    while (times[1] < now - SPAN) {
      times.shift();
      values.shift();
    }
  }
}

export class Plot {
  #drawn = 0;

  /**
   * `readable` formats a value, `width` is in px, `ink` is a colour of theme.css, `span` is a range that
   * is always shown, and `trace` has the values.
   */
  constructor(name, readable, { width = 80, ink = "--accent", span = [], trace = new Trace() } = {}) {
    Object.assign(this, { name, readable, width, ink, span, trace });
    this.element = document.createElement("canvas");
    this.element.width = this.element.height = 0; // until it is drawn
    this.element.className = "plot";
    this.element.role = "img";
    this.element.hidden = true; // until it has two values
  }

  add(value) {
    this.trace.add(value);
  }

  draw() {
    const now = performance.now(), { times, values } = this.trace;
    if (values.length < 2 || now - this.#drawn < STEP) return;
    this.#drawn = now;
    this.element.hidden = false;
    const { element, width } = this, height = HEIGHT, scale = devicePixelRatio;
    if (element.width !== Math.round(width * scale)) {
      element.width = Math.round(width * scale);
      element.height = Math.round(height * scale);
      element.style.width = `${width}px`;
    }
    const low = Math.min(...values, ...this.span), high = Math.max(...values, ...this.span);
    const y = (value) => height - 2 - (height - 4) * (high > low ? (value - low) / (high - low) : 0.5);
    const begin = Math.max(now - SPAN, times[0]);
    const x = (time) => width * Math.max(0, (time - begin) / Math.max(now - begin, 1));
    const context = element.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.beginPath();
    values.forEach((value, i) => {
      if (i) context.lineTo(x(times[i]), y(values[i - 1]));
      context.lineTo(x(times[i]), y(value));
    });
    context.lineTo(width, y(values.at(-1)));
    context.strokeStyle = colour(this.ink);
    context.lineWidth = 1.25;
    context.stroke();
    element.ariaLabel = `${this.name} over the last minutes: ${this.readable(low)} to ${this.readable(high)}`;
  }
}
