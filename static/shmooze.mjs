/** shmooze.js as a module. It cannot find its own URL when imported, so it is passed in `shmooze_source`. */
if (!window.shmooze_ready) {
  window.shmooze_source = import.meta.url;
  await import("./shmooze.js");
}
export const { Endpoint, endpoints, settings_data, shmooze_ready: ready } = window;
