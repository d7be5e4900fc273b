/**
 * When things are painted: in frames that stay short, however much changes at once.
 *
 * Whoever has something new says `paint(thing)`, and its `show()` is called in one of the next frames:
 * what can be seen first, the rest as time allows, so that it is right when it is scrolled to or read aloud.
 */

const BUDGET = 4; // ms of a frame; the browser's own work comes on top

const waiting = new Set();
const seen = new WeakSet();
let frame = 0;

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries)
    if (isIntersecting) seen.add(target);
    else seen.delete(target);
}, { rootMargin: "100px" });

/** Have `thing.show()` called; `thing.element` is what tells whether it can be seen. */
export function paint(thing) {
  waiting.add(thing);
  frame ||= requestAnimationFrame(work);
}

export function watch(thing) {
  observer.observe(thing.element);
}

export function forget(thing) {
  observer.unobserve(thing.element);
  waiting.delete(thing);
}

export const isSeen = (thing) => seen.has(thing.element);

function work() {
  frame = 0;
  const end = performance.now() + BUDGET;
  const things = [...waiting];
  for (const thing of [...things.filter(isSeen), ...things.filter((each) => !isSeen(each))]) {
    if (!waiting.delete(thing)) continue; // it was forgotten meanwhile
    thing.show();
    if (performance.now() > end) break;
  }
  if (waiting.size) frame = requestAnimationFrame(work);
}
