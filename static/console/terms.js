/** What an item waits for, and the terms that it was added with, as text for people. */

const SECOND = 1000, DAY = 24 * 3600 * SECOND;
const CLOCK = { hour: "2-digit", minute: "2-digit" };
const DATE = { weekday: "short", day: "numeric", month: "short" };

const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;

/**
 * A time as people say it: without the date if it is close. Takes a text, or seconds since 1970.
 * Without `hasSeconds`, seconds are left out where they are 0.
 */
export function momentOf(value, hasSeconds = false) {
  const time = new Date(typeof value === "number" ? value * SECOND : value);
  if (isNaN(time)) return String(value);
  const clock = hasSeconds || time.getSeconds() ? { ...CLOCK, second: "2-digit" } : CLOCK;
  const distance = Math.abs(time - Date.now());
  if (distance < DAY / 2) return time.toLocaleTimeString([], clock);
  return time.toLocaleString([], { ...DATE, ...clock, ...distance > DAY * 180 && { year: "numeric" } });
}

/** A duration: "12 s", "3 min 20 s", "2 h 5 min". `digits` are those of seconds below a minute. */
export function durationOf(seconds, digits = 0) {
  if (seconds < 60) return `${seconds.toFixed(digits)} s`;
  const whole = Math.round(seconds), minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** The part of each day in which an item plays: "08:00 to 18:30, mon, tue (Europe/Berlin)". */
function windowOf({ from, to, days = [], tz }) {
  return [`${from} to ${to}`, days.length ? `, ${days.join(", ")}` : "", tz ? ` (${tz})` : ""].join("");
}

/** A text of the service with its times as people say them. */
export const withMoments = (text) => text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d[\d:.]*(Z|[+-]\d\d:\d\d)/g, (time) => momentOf(time));

/** When the turn of an item comes, as far as the service knows: "place 2 in line · in about 3 min". */
export function turnOf({ place, estimate } = {}) {
  const about = estimate === undefined ? "" : estimate < 1 ? "any moment" : `in about ${durationOf(estimate)}`;
  return [place === undefined ? "" : place === 1 ? "next in line" : `place ${place} in line`, about].filter(Boolean).join(" · ");
}

/** All that makes an item different from one that was added with its type and args alone. */
export function termsOf(module) {
  const { priority, ups, skips, not_before, expires, after, batch, window, schedule, host, restarts, next_attempt_at } = module;
  const { waits = "" } = module; // which says the same, while it waits for that
  return [
    priority && `priority ${priority}`,
    ups && counted(ups, "vote", "votes"),
    skips && `${counted(skips, "vote", "votes")} to skip`,
    not_before && new Date(not_before) > Date.now() && !waits.startsWith("not before") && `not before ${momentOf(not_before)}`,
    expires && `expires ${momentOf(expires)}`,
    after?.length && `after ${counted(after.length, "other", "others")}`,
    window && !waits.startsWith("plays from") && `plays ${windowOf(window)}`,
    batch && `batch ${batch}`,
    host && `on ${host}`,
    schedule && `of schedule ${schedule.slice(0, 8)}`,
    restarts && `restarted ${restarts === 1 ? "once" : `${restarts} times`}`,
    next_attempt_at && `starts again at ${momentOf(next_attempt_at)}`,
  ].filter(Boolean).join(" · ");
}
