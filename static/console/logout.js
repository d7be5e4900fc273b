/** The button that logs out, for those whom a cookie has let in. */

import { announce, byId } from "./dom.js";

export async function offerLogout() {
  const { origin } = location; // the page's own address may hold a password, which fetch refuses
  const answer = await fetch(new URL(`${BASE_URL}/settings.json`, origin), { cache: "no-store" });
  const place = answer.headers.get("Shmooze-Logout");
  if (!place) return;
  const button = byId("logout");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      const { redirected, status, url } = await fetch(new URL(place, answer.url), { method: "POST" });
      if (redirected) location.assign(url); // it has led to the form
      else announce(`the server refused to log you out, with status ${status}`);
    } catch {
      announce("the server is out of reach");
    }
  });
}
