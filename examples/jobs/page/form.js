/** The form for a new job: a field for each argument that the chosen type describes. */

/** The field of one argument, from its JSON Schema. */
function field(name, schema, isRequired) {
  const label = document.createElement("label"), title = schema.title || name;
  const choices = schema.enum ?? [];
  const input = document.createElement(choices.length ? "select" : "input");
  input.name = `arg ${name}`;
  if (choices.length) {
    input.replaceChildren(...choices.map((each) => new Option(each, JSON.stringify(each))));
    input.value = JSON.stringify(schema.default ?? choices[0]);
  } else if (schema.type === "boolean") {
    Object.assign(input, { type: "checkbox", checked: schema.default ?? false });
  } else if (["number", "integer"].includes(schema.type)) {
    const { minimum: min = "", maximum: max = "" } = schema;
    Object.assign(input, { type: "number", min, max, step: schema.type === "integer" ? 1 : "any", value: schema.default ?? "" });
  } else {
    Object.assign(input, { value: schema.default ?? "", placeholder: schema.examples?.[0] ?? "" });
  }
  if (!choices.length && schema.type !== "boolean") input.required = isRequired;
  const words = schema.unit ? `${title} (${schema.unit})` : title;
  label.append(...(input.type === "checkbox" ? [input, words] : [words, input]));
  if (schema.description) {
    const help = document.createElement("small");
    help.textContent = schema.description;
    label.append(help);
  }
  return label;
}

/** The value of a field, or undefined if it is empty. */
function valueOf(input) {
  if (input.type === "checkbox") return input.checked;
  if (input.value === "") return undefined;
  if (input.localName === "select") return JSON.parse(input.value);
  return input.type === "number" ? Number(input.value) : input.value;
}

export function fieldsOf({ args: { properties = {}, required = [] } = {} }) {
  return Object.entries(properties).map(([name, schema]) => field(name, schema, required.includes(name)));
}

/** What `add` takes, as the form says. */
export function order(form) {
  const args = {};
  for (const input of form.querySelectorAll("[name^='arg ']")) {
    const value = valueOf(input);
    if (value !== undefined) args[input.name.slice(4)] = value;
  }
  const wanted = { type: form.type.value, args, later: true };
  const batch = form.batch.value.trim(), priority = Number(form.priority.value);
  const after = [...form.querySelectorAll("#after :checked")].map(({ value }) => value);
  if (batch) wanted.batch = batch;
  if (priority) wanted.priority = priority;
  if (after.length) wanted.after = after;
  return wanted;
}

/** Show a checkbox for each job that others may wait for; those that are checked stay so. */
export function showAfter(group, jobs) {
  const known = new Map([...group.querySelectorAll("label")].map((label) => [label.firstChild.value, label]));
  const labels = jobs.map((job) => {
    if (known.has(job.uid)) return known.get(job.uid);
    const label = document.createElement("label"), box = document.createElement("input");
    Object.assign(box, { type: "checkbox", value: job.uid });
    label.append(box, job.label || job.type);
    return label;
  });
  if (labels.some((label) => !label.isConnected) || labels.length !== known.size) group.replaceChildren(group.firstChild, ...labels);
  group.hidden = jobs.length === 0;
}
