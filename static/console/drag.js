/**
 * Dragging a row of a roster to another place, by mouse, pen or finger.
 *
 * The row moves among the others as it is dragged; what others change meanwhile is shown afterwards.
 * Escape takes it back. By keyboard the same is done with the buttons of the row.
 */

const EDGE = 60; // px at the window's edges where it scrolls
const SPEED = 12; // px a frame

export function dragging(roster) {
  roster.list.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest(".grip");
    const row = grip && event.button === 0 && roster.rows.find((each) => each.element.contains(grip));
    if (row) begin(roster, row, event);
  });
}

function begin(roster, row, { pointerId, clientY }) {
  const { list } = roster, { element } = row, end = new AbortController();
  let y = clientY, frame = 0;
  roster.dragged = row;
  element.dataset.dragged = "";
  list.setPointerCapture(pointerId); // and not the grip, which loses it where the row is moved

  const follow = () => {
    if (!list.isConnected) return stop(false); // the service is something else now
    frame = requestAnimationFrame(follow);
    const speed = y < EDGE ? -SPEED : y > innerHeight - EDGE ? SPEED : 0;
    if (speed) scrollBy(0, speed);
    const next = [...list.children].find((each) => each !== element && y < middle(each));
    if (next !== element.nextElementSibling) list.insertBefore(element, next || null);
  };
  const stop = (moved) => {
    end.abort();
    cancelAnimationFrame(frame);
    delete element.dataset.dragged;
    roster.dragged = null;
    // Its place is told by the row that follows it, since others may have come and gone meanwhile.
    const others = roster.rows.filter((each) => each !== row);
    const follower = [...list.children].slice([...list.children].indexOf(element) + 1)
      .map((each) => others.find((other) => other.element === each)).find(Boolean);
    const place = follower ? others.indexOf(follower) : others.length;
    const before = roster.rows.indexOf(row);
    if (moved && before >= 0 && place !== before) roster.move(row, place);
    else roster.reorder(roster.rows);
  };
  const on = (type, handle) => addEventListener(type, handle, { signal: end.signal });

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
