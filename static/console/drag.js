/**
 * Dragging a row of a roster to another place, by mouse, pen or touch.
 *
 * The row moves among the others while it is dragged. Changes by other clients are shown afterwards.
 * Escape cancels. Keyboard users move a row with its buttons instead.
 */

const EDGE = 60; // px from the top and bottom of the window, where it scrolls
const SPEED = 12; // px a frame

export function enableDragging(roster) {
  roster.list.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest(".grip");
    const row = grip && event.button === 0 && roster.rows.find((each) => each.element.contains(grip));
    if (row) begin(roster, row, event);
  });
}

function begin(roster, row, { pointerId, clientY }) {
  const { list } = roster, { element } = row, listeners = new AbortController();
  let y = clientY, frame = 0;
  roster.dragged = row;
  element.dataset.dragged = "";
  list.setPointerCapture(pointerId); // on the list: the grip would lose the capture when its row moves

  const follow = () => {
    if (!list.isConnected) return stop(false); // the service has become another kind
    frame = requestAnimationFrame(follow);
    const speed = y < EDGE ? -SPEED : y > innerHeight - EDGE ? SPEED : 0;
    if (speed) scrollBy(0, speed);
    const next = [...list.children].find((each) => each !== element && y < middle(each));
    if (next !== element.nextElementSibling) list.insertBefore(element, next || null);
  };
  const stop = (moved) => {
    listeners.abort();
    cancelAnimationFrame(frame);
    delete element.dataset.dragged;
    roster.dragged = null;
    // The row after it determines its place, since rows may have been added and removed meanwhile.
    const others = roster.rows.filter((each) => each !== row);
    const follower = [...list.children].slice([...list.children].indexOf(element) + 1)
      .map((each) => others.find((other) => other.element === each)).find(Boolean);
    const place = follower ? others.indexOf(follower) : others.length;
    const before = roster.rows.indexOf(row);
    if (moved && before >= 0 && place !== before) roster.move(row, place);
    else roster.reorder(roster.rows);
  };
  const on = (type, handle) => addEventListener(type, handle, { signal: listeners.signal });

  on("pointermove", (event) => { y = event.clientY; });
  on("pointerup", () => stop(true));
  on("pointercancel", () => stop(false));
  on("lostpointercapture", () => stop(false));
  on("keydown", (event) => event.key === "Escape" && stop(false));
  follow();
}

function middle(element) {
  const { top, height } = element.getBoundingClientRect();
  return top + height / 2;
}
