/** When items of a queue begin: what the service estimates, corrected by what items report of themselves. */

const TOLERANCE = 2; // seconds by which a report may differ from an estimate

const isSeconds = (value) => typeof value === "number" && value >= 0;

/** What items report, by uid: {left, isCertain}, in seconds. `describe(type)` is the description of a type. */
export function reportsOf(rows, describe) {
  return new Map(rows.map(({ uid, module }) => [uid, reportOf(module, describe(module.type).parameters || {})]));
}

/** How many seconds an item still takes by its own report, and whether that is certain; {} if it does not say. */
function reportOf({ parameters = {} }, described) {
  const time = (name) => described[name]?.role === "time" ? parameters[name] : undefined;
  const left = time("left") ?? time("duration") - time("position");
  if (isSeconds(left)) return { left, isCertain: true };
  return isSeconds(parameters.left) ? { left: parameters.left } : {}; // perhaps seconds, perhaps something else
}

/**
 * The modules of a queue, with better estimates. An item lasts as long as it reports by parameters of the role
 * `time`: `left`, or `duration` and `position`. Where a `left` without a role contradicts the estimate, there is none.
 */
export function withReports(modules, reports) {
  let ahead = modules.find(({ state }) => state === "playing"), begins = 0, before = 0;
  return modules.map((module) => {
    const { place, estimate } = module;
    if (place === undefined || estimate === undefined) return module;
    const usual = estimate - before, { left, isCertain } = reports.get(ahead?.uid) || {};
    if (isCertain) begins += left;
    else begins += left > usual + TOLERANCE ? NaN : usual; // then nothing is known of all that follow
    before = estimate;
    ahead = module;
    return { ...module, estimate: isNaN(begins) ? undefined : begins };
  });
}
