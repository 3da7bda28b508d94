// account-messages.js writes what the account page says: messages, times, and names of programs.
// All texts are in the HTML, which the server sends in one language.

export const find = (selector, inside = document) => inside.querySelector(selector);
export const findAll = (selector, inside = document) => inside.querySelectorAll(selector);

export const texts = JSON.parse(find("#texts").textContent);

const language = document.documentElement.lang;

/** The reader's own kind of the language, which says how times are written: en-GB. */
const locale = navigator.languages.find((tag) => tag.split("-")[0] === language) ?? language;

// What has been done, and what has failed.

/** Says what has been done. */
export function announce(text) {
  find("#status").textContent = text;
}

/**
 * Says why something has failed: beside its field, or in the alert of a place. known has messages of
 * the place's own, by the server's detail: { field, text } or { text }.
 */
export function explain(place, error, known = {}) {
  const { status, detail, retryAfter } = error;
  if (status === undefined) reportError(error); // a bug of this page
  const alert = find(".alert", place);
  const { field, text } = known[detail] ?? {};
  if (field) mark(place.elements[field], text);
  else if (text) alert.textContent = text;
  else if (status === 429) countDown(alert, texts.e_wait, retryAfter || 1);
  else if (status === 503 && retryAfter) countDown(alert, texts.e_busy, retryAfter);
  else if (status !== 422 || !explainFields(place, detail)) alert.textContent = failureText(status);
}

function failureText(status) {
  if (status === 0 && !navigator.onLine) return texts.e_offline;
  return [0, 502, 503, 504].includes(status) ? texts.e_down : texts.e_failed;
}

/** Says beside each field what the server says is wrong with it. Returns whether there is such a field. */
function explainFields(form, problems) {
  let found = false;
  for (const problem of Array.isArray(problems) ? problems : []) {
    const field = form.elements?.[problem?.loc?.at?.(-1)];
    if (!field) continue;
    mark(field, fieldText(problem, field));
    found = true;
  }
  return found;
}

/** Returns a text for one of pydantic's complaints. */
function fieldText({ type, ctx }, { name, value, form }) {
  if (value === "" || ctx?.min_length === 1) return texts.e_required;
  if (type === "string_too_short") return fill(texts.e_short, { n: ctx?.min_length });
  if (type === "string_too_long") return fill(texts.e_long, { n: ctx?.max_length });
  if (type !== "value_error") return texts.e_characters;
  if (name === "username") return texts.e_username;
  if (name === "email") return texts.e_email;
  if (!name.endsWith("password")) return texts.e_characters;
  return isSameName(value, form.elements.username.value) ? texts.e_same : texts.e_common;
}

/** Usernames ignore case and the space around them, so this does, too. */
export function isSameName(a, b) {
  return a.trim().localeCompare(b.trim(), undefined, { sensitivity: "accent" }) === 0;
}

/** Marks a field as wrong, and moves the focus to the first one that is. */
export function mark(field, text) {
  const note = document.createElement("p");
  note.className = "wrong";
  note.id = field.id + "-wrong";
  note.textContent = text;
  (field.closest(".field") ?? field).after(note);
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", `${note.id} ${field.id}-hint`);
  find("[aria-invalid=true]", field.form).focus();
}

/** Removes the error messages of a place. */
export function clear(place) {
  for (const alert of findAll(".alert", place)) alert.textContent = "";
  for (const note of findAll(".wrong", place)) note.remove();
  for (const field of findAll("[aria-invalid]", place)) {
    field.removeAttribute("aria-invalid");
    field.setAttribute("aria-describedby", field.id + "-hint");
  }
}

/** Shows how long to wait. A screen reader reads it once, not each second. */
function countDown(alert, text, seconds) {
  const [before, after] = text.split("{time}");
  const timer = document.createElement("span");
  timer.setAttribute("role", "timer");
  timer.setAttribute("aria-live", "off");
  alert.replaceChildren(before, timer, after);
  const end = performance.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((end - performance.now()) / 1000);
    if (!timer.isConnected) return;
    if (left <= 0) return alert.replaceChildren();
    timer.textContent = duration(left);
    setTimeout(tick, 1000);
  };
  tick();
}

// Words.

/** Puts values in the place of {names}. */
export function fill(text, values) {
  return text.replace(/{(\w+)}/g, (_, name) => values[name]);
}

const units = [[3600, "hour"], [60, "minute"]];

function duration(seconds) {
  const [length, unit] = units.find(([length]) => seconds >= 2 * length) ?? [1, "second"];
  const value = Math.ceil(seconds / length);
  return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "long" }).format(value);
}

/** Returns a time as people say it: today 9:12 AM, 2 days ago, or the date. */
export function moment(time) {
  const days = Math.round((new Date(time).setHours(0, 0, 0, 0) - new Date().setHours(0, 0, 0, 0)) / 86_400_000);
  if (days < -6) return new Intl.DateTimeFormat(locale, { dateStyle: "long" }).format(time);
  const day = new Intl.RelativeTimeFormat(locale, { numeric: "auto" }).format(Math.min(days, 0), "day");
  return days < 0 ? day : `${day} ${new Intl.DateTimeFormat(locale, { timeStyle: "short" }).format(time)}`;
}

const browsers = [
  [/\bEdgA?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/SamsungBrowser/, "Samsung Internet"],
  [/Firefox|FxiOS/, "Firefox"],
  [/Chrome|CriOS/, "Chrome"],
  [/Safari/, "Safari"],
];
const systems = [
  [/Windows/, "Windows"],
  [/Android/, "Android"],
  [/iPhone/, "iPhone"],
  [/iPad/, "iPad"],
  [/Mac OS X/, "macOS"],
  [/CrOS/, "ChromeOS"],
  [/Linux/, "Linux"],
];

/** Returns what a User-Agent stands for, in words that people know. */
export function programOf(agent) {
  const nameIn = (names) => names.find(([pattern]) => pattern.test(agent))?.[1];
  const [browser, system] = [nameIn(browsers), nameIn(systems)];
  if (agent.startsWith("Mozilla/") && browser && system) return fill(texts.browser_on, { browser, system });
  return agent.match(/^[\w.-]+(?=\/)/)?.[0] || agent.trim() || texts.unknown_program;
}
