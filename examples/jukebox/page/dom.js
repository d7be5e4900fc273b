/** Parts of the page that several of its scripts make. All text is put in as text. */

export const $ = (selector, root = document) => root.querySelector(selector);

/** Change a text, but only if it is another one: screen readers are not told again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function cloneOf(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** "3:05" or "1:02:03"; "" for what is not known. */
export function clock(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.max(0, Math.round(seconds)), hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60, rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** "25 s", "12 min" or "1 h 5 min". */
export function span(seconds) {
  if (seconds < 57.5) return `${5 * Math.max(1, Math.round(seconds / 5))} s`; // steps of five are calmer
  const minutes = Math.max(1, Math.round(seconds / 60));
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** What to call a file or link that has no title: "Band/Song One.wav" is "Song One", as in the library. */
export const nameIn = (source) => /^https?:/.test(source) ? source : source.replace(/^.*\//, "").replace(/(?<=.)\.\w+$/, "");

export const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.ariaHidden = "true";
  svg.append(document.createElementNS(svg.namespaceURI, "use"));
  svg.firstChild.setAttribute("href", `#i-${name}`);
  return svg;
}

export function setIcon(button, name) {
  $("use", button).setAttribute("href", `#i-${name}`);
}

/** Only pictures that the library has made: whoever adds a track could name any other. */
const COVER = /^covers\/[\w.-]+$/;

/** Show the cover of a track, or a note on a colour of its own. `backdrop` gets the same picture. */
export function showCover(frame, { cover, title = "", album = "" }, backdrop) {
  const url = COVER.test(cover ?? "") ? cover : "", key = `${url} ${album || title}`;
  if (frame.dataset.shown === key) return;
  frame.dataset.shown = key;
  let hue = 0;
  for (const letter of album || title) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  frame.style.setProperty("--hue", hue);
  frame.replaceChildren(icon("note"));
  if (backdrop) backdrop.style.backgroundImage = "";
  if (!url) return;
  const image = Object.assign(new Image(), { src: url, alt: "" });
  image.addEventListener("load", () => {
    if (frame.dataset.shown !== key) return;
    frame.replaceChildren(image);
    if (backdrop) backdrop.style.backgroundImage = `url("${url}")`;
  });
}

/** The list has one element for each item, made by `make` and filled by `fill`, and keeps those it has. */
export function showList(list, items, keyOf, make, fill) {
  const known = new Map([...list.children].map((element) => [element.dataset.key, element]));
  const wanted = items.map((item, place) => {
    const key = keyOf(item), element = known.get(key) ?? make(item);
    element.dataset.key = key;
    fill(element, item, place);
    return element;
  });
  const kept = new Set(wanted);
  for (const element of [...list.children]) if (!kept.has(element)) element.remove();
  wanted.forEach((element, place) => {
    // A move would take the focus away, so what is in its place stays.
    if (list.children[place] !== element) list.insertBefore(element, list.children[place] ?? null);
  });
}

export function showTrack(element, { title, artist = "", cover, album }, more = "") {
  showCover($(".cover", element), { cover, title, album });
  setText($("b", element), title);
  setText($(".artist", element), artist);
  setText($(".more-about", element), more);
}

/** The same track with its duration beside the artist. */
export const withTime = (track) => ({ ...track, artist: [track.artist, clock(track.duration)].filter(Boolean).join(" · ") });
