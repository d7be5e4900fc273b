/** What the browser remembers: arguments used last, and what is folded. Nothing if it stores nothing. */

const MAX_REMEMBERED = 8; // arguments per command

function load(key) {
  try {
    return JSON.parse(localStorage.getItem(`shmooze ${BASE_URL} ${key}`));
  } catch {
    return null;
  }
}

function store(key, value) {
  try {
    localStorage.setItem(`shmooze ${BASE_URL} ${key}`, JSON.stringify(value));
  } catch {
    // private browsing or a full disk
  }
}

/** Whether the user has folded something, such as the service with this name; null if they have not touched it. */
export const wasFolded = (name) => load(`folded ${name}`);
export const rememberFolded = (name, isFolded) => store(`folded ${name}`, isFolded);

/** The arguments used last with a command, most recent first. */
export const remembered = (key) => load(key) || [];

export function remember(key, text) {
  store(key, [text, ...remembered(key).filter((each) => each !== text)].slice(0, MAX_REMEMBERED));
}
