/** The "Log out" button, shown only to users who logged in with the form (and so have a cookie). */

import { announce, byId } from "./dom.js";

export async function offerLogout() {
  const { origin } = location; // the page's own URL may contain a password, which fetch rejects
  const settings = await fetch(new URL(`${BASE_URL}/settings.json`, origin), { cache: "no-store" });
  const path = settings.headers.get("Shmooze-Logout");
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
