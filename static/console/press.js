/**
 * Changes of the page wait while a mouse button or finger is down: what moves from under it gets no click.
 */

const LONGEST = 2000; // ms that changes wait at most: a row may be dragged for longer

let isPressed = false, timer = 0, waiting = [];

/** Make a change at once, or as soon as nothing is pressed any more. Changes are made in order. */
export function whenReleased(change) {
  if (isPressed) waiting.push(change);
  else change();
}

function press() {
  isPressed = true;
  clearTimeout(timer);
  timer = setTimeout(release, LONGEST);
}

function release() {
  isPressed = false;
  clearTimeout(timer);
  const changes = waiting;
  waiting = [];
  for (const change of changes) change();
}

addEventListener("pointerdown", press, true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(release), true); // the click comes first
