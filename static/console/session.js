/** What the user's token allows, and the "Log out" button of users who logged in with the form. */

import { announce, byId } from "./dom.js";

/** Show only what the token allows, by the rules for `data-scopes` in items.css, and offer to log out. */
export async function showSession() {
  const { origin } = location; // the page's own URL may contain a password, which fetch rejects
  const settings = await fetch(new URL(`${BASE_URL}/settings.json`, origin), { cache: "no-store" });
  const scopes = settings.headers.get("Shmooze-Scopes"), path = settings.headers.get("Shmooze-Logout");
  if (scopes !== null) document.documentElement.dataset.scopes = scopes; // else everything is allowed, or unknown
  if (!path) return;
  const button = byId("logout");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      const { redirected, status, url } = await fetch(new URL(path, settings.url), { method: "POST" });
      if (redirected) location.assign(url); // to the login form
      else announce(`Could not log out: the server answered with status ${status}`);
    } catch {
      announce("Could not log out: the server is unreachable");
    }
  });
}
