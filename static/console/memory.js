/** The arguments that were used last with each command. Empty if the browser stores nothing. */

const MAX_REMEMBERED = 8; // arguments per command

/** The arguments used last with a command, most recent first. */
export function remembered(key) {
  try {
    return JSON.parse(localStorage.getItem(`shmooze ${BASE_URL} ${key}`)) || [];
  } catch {
    return [];
  }
}

export function remember(key, text) {
  const texts = [text, ...remembered(key).filter((each) => each !== text)].slice(0, MAX_REMEMBERED);
  try {
    localStorage.setItem(`shmooze ${BASE_URL} ${key}`, JSON.stringify(texts));
  } catch {
    // private browsing or a full disk
  }
}
