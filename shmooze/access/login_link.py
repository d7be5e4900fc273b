"""Links that log in: `login#token=TOKEN`, and where to go then, `login#token=TOKEN&to=PAGE`.

Browsers do not send what follows the `#`, so no log has the token, and the script of the form
takes it out of the address bar and the browser's history at once. A link logs nobody in who is
logged in: a stranger's link must not make somebody act by the stranger's token.
"""

#: Belongs behind the form for tokens, and behind that which says that a token was refused. Such a
#: page does not try again by itself. A link that is opened in the same tab only changes the hash.
SCRIPT = """
<script type="module">
  const form = document.querySelector("form");
  async function follow() {
    const link = new URLSearchParams(location.hash.slice(1)), token = link.get("token");
    if (!token) return;
    history.replaceState(null, "", location.pathname);
    const folder = new URL("./", location.href);
    let to = folder;
    try {
      const page = new URL(link.get("to") || "./", folder);
      // A blob: address has the origin of the page that made it.
      if (page.origin === folder.origin && page.protocol === folder.protocol) to = page;
    } catch {} // it is not an address
    const options = { redirect: "manual", cache: "no-store" };
    const body = new URLSearchParams({ token });
    form.token.value = token;
    const isLoggedIn = (await fetch("settings.json", options)).ok;
    const answer = isLoggedIn || await fetch("login", { ...options, method: "POST", body });
    if (isLoggedIn || answer.type === "opaqueredirect") location.replace(to);
    else form.submit(); // which shows the reason
  }
  addEventListener("hashchange", follow);
  if (form.token.getAttribute("aria-invalid") !== "true") follow();
</script>
"""
