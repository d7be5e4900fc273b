/**
 * The console: every service of the application, and its queues and pools to see and to steer.
 *
 * Services are told by what they answer. What they show comes as events (`endpoint.subscribe`) and is
 * changed in place, keyed by uid and name, so that focus and selection stay where they are. What a
 * person orders is sent at once. What can only be asked for, such as the use of CPU, is asked for
 * while somebody looks.
 */

import { byId } from "./dom.js";
import { offerLogout } from "./logout.js";
import { Service } from "./service.js";

const TICK = 250; // ms
const UNSURE = 2; // services that may not answer, asked at a time: each keeps one of the browser's connections

const services = new Map();

function tick() {
  for (const [name, endpoint] of Object.entries(endpoints)) {
    if (services.has(name)) continue;
    services.set(name, new Service(name, endpoint));
    byId("services").append(services.get(name).element);
  }
  if (document.hidden || "lost" in document.documentElement.dataset) return;
  let unsure = [...services.values()].filter((service) => service.next === Infinity && !service.isKnown).length;
  for (const service of services.values()) {
    if (service.next > performance.now() || (!service.isKnown && unsure >= UNSURE)) continue;
    if (!service.isKnown) unsure++;
    service.look();
  }
}

shmooze_ready.then(({ name, ports }) => {
  if (name) document.title = name;
  byId("none").hidden = !ports || Object.keys(endpoints).length > 0;
  byId("unlisted").hidden = Boolean(ports);
  offerLogout().catch(() => {}); // out of reach again: then there is no button
  tick();
  setInterval(tick, TICK);
  document.addEventListener("visibilitychange", tick);
});
