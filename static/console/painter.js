/**
 * The painter: spreads updates of the page over frames, so that each frame stays short however much changes.
 *
 * `paint(item)` schedules a call of `item.show()` in one of the next frames. Items that are visible come
 * first, the others as time allows, so that they are right when they are scrolled to or read aloud.
 */

const BUDGET = 4; // ms of a frame; the browser's own work comes on top

const pending = new Set();
const visible = new WeakSet();
let frame = 0;

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries)
    if (isIntersecting) visible.add(target);
    else visible.delete(target);
}, { rootMargin: "100px" });

/** Schedule `item.show()`. Whether the item is visible is decided by `item.element`, once it is watched. */
export function paint(item) {
  pending.add(item);
  frame ||= requestAnimationFrame(work);
}

export function watch(item) {
  observer.observe(item.element);
}

export function unwatch(item) {
  observer.unobserve(item.element);
  pending.delete(item);
}

export const isVisible = (item) => visible.has(item.element);

function work() {
  frame = 0;
  const deadline = performance.now() + BUDGET;
  const items = [...pending];
  for (const item of [...items.filter(isVisible), ...items.filter((each) => !isVisible(each))]) {
    if (!pending.delete(item)) continue; // removed by unwatch meanwhile
    item.show();
    if (performance.now() > deadline) break;
  }
  if (pending.size) frame = requestAnimationFrame(work);
}
