/** shmooze.js for pages that import it. A module cannot ask which file it is from; so it is told here. */
if (!window.shmooze_ready) {
  window.shmooze_source = import.meta.url;
  await import("./shmooze.js");
}
export const { Endpoint, endpoints, settings_data, shmooze_ready: ready } = window;
