/** What plays now: title, cover, progress, and the buttons for it. */

import { $, clock, counted, setIcon, setText, showCover } from "./dom.js";
import { act, me, nameOf } from "./session.js";
import { hasVoted, isMine, trackOf, vote } from "./queue.js";

const part = $("#now"), title = $("#now-title"), seek = $("#seek"), progress = $("progress", part);
const pause = $("#pause"), skip = $("#skip"), button = $("#vote");
let item, isPaused, dragged = false;

/** Show an item, or that nothing plays. `background` is what plays while the queue is empty. */
export function showNow(now, background, paused) {
  const isBackground = now !== null && now === background, before = item?.uid;
  [item, isPaused] = [now, paused];
  const track = now ? trackOf(now) : { title: "Nothing is playing" };
  part.classList.toggle("idle", !now);
  setText($(".what", part), !now ? "Ready" : isPaused && !isPlaying(track) ? "Paused" : isBackground ? "Until somebody adds a track" : "Now playing");
  setText(title, track.title);
  setText($(".artist", part), now ? [track.artist, track.album].filter(Boolean).join(" · ") : "Add a track, and it begins at once.");
  const who = now && nameOf(now.by);
  setText($(".by", part), who ? `Added by ${who}` : "");
  showCover($(".cover", part), track, $(".backdrop", part));
  showTimes(track);
  const mayPause = Boolean(now || isPaused) && me.may.order;
  pause.hidden = !mayPause;
  pause.ariaLabel = isPaused ? "Resume" : "Pause";
  setIcon(pause, isPaused ? "play" : "pause");
  skip.hidden = !now || isBackground || !isMine(now);
  button.hidden = !now || isBackground || !skip.hidden || !me.may.add;
  const count = now?.skips ?? 0;
  setText(button.lastElementChild, count ? `Vote to skip · ${counted(count, "vote")}` : "Vote to skip");
  button.ariaPressed = String(Boolean(now) && hasVoted(now.uid, "skip"));
  if (now?.uid !== before && now) setText($("#announced"), `Now playing: ${[track.title, track.artist].filter(Boolean).join(" by ")}`);
}

const isPlaying = ({ paused }) => paused === false;

function showTimes({ position, duration, seekable }) {
  const isKnown = Number.isFinite(duration) && duration > 0 && Number.isFinite(position);
  const maySeek = isKnown && Boolean(seekable) && isMine(item);
  seek.hidden = !maySeek;
  progress.hidden = !isKnown || maySeek;
  if (maySeek && !dragged) {
    seek.max = Math.round(duration);
    seek.value = Math.round(position);
    seek.style.setProperty("--part", seek.value / seek.max);
    seek.setAttribute("aria-valuetext", `${clock(position)} of ${clock(duration)}`);
  }
  progress.value = isKnown ? Math.min(1, position / duration) : 0;
  setText($(".position", part), dragged ? clock(Number(seek.value)) : clock(position));
  setText($(".left", part), isKnown ? `−${clock(duration - position)}` : position === undefined ? "" : "live");
}

pause.onclick = () => isPaused
  ? act("queue", "resume", {}, "It goes on")
  : act("queue", "pause", { suspend: true }, "Paused");
skip.onclick = () => item && act("queue", "skip", { uid: item.uid }, `“${trackOf(item).title}” is skipped`);
button.onclick = () => item && vote({ uid: item.uid, label: trackOf(item).title }, "skip");
seek.oninput = () => {
  dragged = true;
  seek.style.setProperty("--part", seek.value / seek.max);
  setText($(".position", part), clock(Number(seek.value)));
};
seek.onchange = async () => {
  const { uid } = item, position = Number(seek.value);
  await act("queue", "tell_module", { uid, cmd: "seek", args: { position } });
  dragged = false;
};
