/**
 * The console: shows every service of the application, and controls its queues and pools.
 *
 * The kind of a service is found out by sending it commands. Modules are updated by events
 * (`endpoint.subscribe`), in place and keyed by uid and name, so that focus and selection are kept.
 * A user's commands are sent at once. What has no events, such as CPU usage, is polled while the page
 * is visible.
 */

import { copyable } from "./clipboard.js";
import { byId } from "./dom.js";
import { Navigation } from "./nav.js";
import { Service } from "./service.js";
import { showSession } from "./session.js";

const TICK = 250; // ms
const MAX_UNVERIFIED = 2; // services polled at a time that may not answer: each occupies a connection of the browser

const services = new Map();
const navigation = new Navigation();

function tick() {
  const known = Object.entries(endpoints);
  for (const [name, endpoint] of known) {
    if (services.has(name)) continue;
    const service = new Service(name, endpoint);
    services.set(name, service);
    byId("services").append(service.element);
    navigation.add(service, known.length);
  }
  if (document.hidden || "lost" in document.documentElement.dataset) return;
  const isPending = (service) => service.nextPoll === Infinity && !service.isVerified;
  let unverified = [...services.values()].filter(isPending).length;
  for (const service of services.values()) {
    if (service.nextPoll > performance.now() || (!service.isVerified && unverified >= MAX_UNVERIFIED)) continue;
    if (!service.isVerified) unverified++;
    service.poll();
  }
}

shmooze_ready.then(({ name, ports }) => {
  if (name) document.title = name;
  byId("no-services").append(copyable('"ports": {"wsgi": 8080, "queue": 8081}'));
  byId("ports-not-public").append(copyable('"public": ["name", "ports"]'));
  byId("no-services").hidden = !ports || Object.keys(endpoints).length > 0;
  byId("ports-not-public").hidden = Boolean(ports);
  showSession().catch(() => {}); // unreachable again: show no button
  tick();
  setInterval(tick, TICK);
  document.addEventListener("visibilitychange", tick);
});
