/** Finding music: by words, in folders, some at random, or by a link; a tap adds it. */

import { $, cloneOf, counted, icon, setIcon, setText, showList, showTrack, withTime } from "./dom.js";
import { add, ask, complain } from "./session.js";

const PAGE = 50, PAUSE = 120;
const text = $("#text"), found = $("#found"), results = $("#results"), link = $("#link"), ideas = $("#ideas"), folders = $("#folders");
let latest = 0, folder = "", hasLoaded = false;

/** A list of tracks of which each is added by a tap. */
export function showTaps(list, tracks, more = () => "", keyOf = ({ path }) => path) {
  showList(list, tracks, keyOf, () => {
    const element = cloneOf("tap");
    $("button", element).onclick = () => tap(element);
    return element;
  }, (element, track) => {
    element.track = track;
    showTrack(element, withTime(track), more(track));
  });
}

async function tap(element) {
  if (element.ariaBusy === "true") return;
  element.ariaBusy = "true";
  if (await add(element.track)) {
    element.classList.add("added");
    setIcon($(".mark", element), "check");
    setTimeout(() => {
      element.classList.remove("added");
      setIcon($(".mark", element), "plus");
    }, 3000);
  }
  element.ariaBusy = "false";
}

const isLink = (words) => /^https?:\/\/\S+$/i.test(words);

/** Show what is found for the words in the box, beginning with the first or behind those that are shown. */
async function search(offset = 0) {
  const words = text.value.trim(), mine = ++latest, isSearch = Boolean(words) && !isLink(words);
  link.hidden = !isLink(words);
  results.hidden = !isSearch;
  ideas.hidden = folders.hidden = Boolean(words);
  if (isLink(words)) setText($(".address", link), words);
  if (!isSearch) {
    setText(found, "");
    return;
  }
  let answer;
  try {
    answer = await ask("library", "search", { text: words, limit: PAGE, offset });
  } catch ({ message }) {
    if (mine === latest) complain(message);
    return;
  }
  if (mine !== latest) return; // the answer to what was typed before
  const { tracks, total } = answer, list = $(".tracks", results);
  const shown = offset ? [...list.children].map(({ track }) => track).concat(tracks) : tracks;
  showTaps(list, shown, ({ album }) => album);
  setText(found, total ? `${counted(total, "track")} found` : "");
  $(".empty", results).hidden = total > 0;
  $(".more", results).hidden = shown.length >= total;
}

let typing;
text.oninput = () => {
  clearTimeout(typing);
  typing = setTimeout(search, PAUSE);
};
text.form.onsubmit = (event) => {
  event.preventDefault();
  clearTimeout(typing);
  search();
};
$(".more", results).onclick = () => search($(".tracks", results).children.length);

$("form", link).onsubmit = async (event) => {
  event.preventDefault();
  const source = $(".address", link).textContent, { title } = event.target.elements;
  const name = title.value.trim() || decodeURIComponentOr(source.split(/[?#]/)[0].split("/").filter(Boolean).at(-1));
  if (!await add({ source, title: name })) return;
  text.value = title.value = "";
  search();
  text.focus();
};

function decodeURIComponentOr(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function showIdeas() {
  const { tracks } = await ask("library", "random", { limit: 6 }).catch(() => ({ tracks: [] }));
  showTaps($(".tracks", ideas), tracks);
  ideas.classList.toggle("without", !tracks.length);
}
$(".heading button", ideas).onclick = showIdeas;

/** Show a folder; `offset` tracks of it are shown already. */
async function browse(path, offset = 0) {
  let answer;
  try {
    answer = await ask("library", "browse", { folder: path, offset });
  } catch ({ message }) {
    if (path) return complain(message);
    answer = { folder: "", parent: null, folders: [], tracks: [], total: 0, problem: message };
  }
  const hasMoved = hasLoaded && answer.folder !== folder;
  [folder, hasLoaded] = [answer.folder, true];
  const title = $("#folder-title"), back = $(".heading button", folders), tracks = $(".tracks", folders);
  setText(title, folder ? folder.split("/").at(-1) : "Folders");
  back.hidden = answer.parent === null;
  back.onclick = () => browse(answer.parent);
  if (!offset) showList($(".folders", folders), answer.folders, (each) => each.path, makeFolder, fillFolder);
  const shown = offset ? [...tracks.children].map(({ track }) => track).concat(answer.tracks) : answer.tracks;
  showTaps(tracks, shown);
  const more = $(".more", folders);
  more.hidden = shown.length >= answer.total;
  more.onclick = () => browse(folder, shown.length);
  ideas.hidden = Boolean(folder || text.value.trim());
  const isEmpty = !answer.folders.length && !shown.length;
  $(".empty", folders).hidden = !isEmpty;
  if (isEmpty) setText($(".empty .why", folders), answer.problem ?? await whyEmpty());
  if (hasMoved && !offset) title.focus();
}

async function whyEmpty() {
  const { music, problem, scanning, found } = await ask("library", "status").catch(({ message }) => ({ problem: message }));
  if (problem) return problem;
  if (scanning) return `The folder “${music}” is being read: ${counted(found, "file")} so far.`;
  return `Copy some files into the folder “${music}”. They are here within a minute.`;
}

function makeFolder() {
  const element = document.createElement("li"), button = document.createElement("button");
  button.className = "folder";
  button.append(icon("folder"), document.createElement("b"), document.createElement("small"));
  button.onclick = () => browse(element.folder);
  element.append(button);
  return element;
}

function fillFolder(element, each) {
  element.folder = each.path;
  setText($("b", element), each.name);
  setText($("small", element), counted(each.tracks, "track"));
}

async function load() {
  await Promise.all([browse(folder), showIdeas()]);
}

load();
addEventListener("regained", () => browse(folder));
addEventListener("view", ({ detail }) => detail === "music" && !folder && !$(".folders", folders).children.length && hasLoaded && load());
