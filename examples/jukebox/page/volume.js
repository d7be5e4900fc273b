/** The volume, which all share: the slider follows what others do. */

import { $, setIcon, setText } from "./dom.js";
import { act, me } from "./session.js";

const level = $("#level"), mute = $("#mute"), shown = $("#volume .shown");
let state, wanted = null, isSending = false;

function show() {
  if (wanted === null) level.value = state.volume;
  level.style.setProperty("--part", level.value / 100);
  setText(shown, state.muted ? "muted" : level.value);
  level.setAttribute("aria-valuetext", state.muted ? `${level.value} %, muted` : `${level.value} %`);
  mute.ariaPressed = String(state.muted);
  setIcon(mute, state.muted ? "muted" : "sound");
}

/** Send where the slider is now; what it has passed meanwhile is left out. */
async function send() {
  if (isSending) return;
  isSending = true;
  while (wanted !== null) {
    const volume = wanted;
    const done = await act("volume", "set", { volume });
    if (done) state = { ...state, volume };
    if (wanted === volume || !done) wanted = null;
  }
  isSending = false;
  show();
}

/** Follow the volume for as long as the page is there. */
async function follow() {
  for (;;) {
    try {
      state = await endpoints.volume.forceQuery({ cmd: "wait", args: state ? { version: state.version, seconds: 25 } : { version: "", seconds: 1 } });
      $("#volume").hidden = false;
      show();
    } catch {
      await new Promise((resume) => setTimeout(resume, 2000));
    }
  }
}

level.oninput = () => {
  wanted = Number(level.value);
  if (state) show();
  send();
};
mute.onclick = () => state && act("volume", "mute", { muted: !state.muted });
level.disabled = mute.disabled = !me.may.add && !me.may.control;
$("#volume").hidden = true; // until it is known
if (endpoints.volume) follow();
