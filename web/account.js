// account.js is the account page: its states, its dialogs, and what it says when something fails.
// latchkey.js has the session. All texts are in the HTML, which the server writes in one language.

import { Latchkey } from "./latchkey.js";

const find = (selector, inside = document) => inside.querySelector(selector);
const findAll = (selector, inside = document) => inside.querySelectorAll(selector);

const texts = JSON.parse(find("#texts").textContent);
const language = document.documentElement.lang;
const latchkey = new Latchkey();

/** Who is shown, or undefined. */
let user;

/** What somebody who cancels a dialog rejects with. There is nothing to say about it. */
const cancelled = Symbol("cancelled");

// The states: sign in, register, account.

/** Shows a state. The focus follows, unless the page has just been opened. */
function show(state, isStart) {
  for (const section of findAll("main > section")) section.hidden = section.id !== state;
  find("#signout").hidden = state !== "account";
  find("#language").hidden = state === "account"; // it loads the page anew, which signs out
  say("");
  const title = find(`#${state} h1`);
  document.title = `${title.textContent} · ${location.host}`;
  if (!isStart) title.focus();
}

/** Shows what a visitor sees who is not signed in. */
function showDoor(isStart) {
  const mayRegister = document.documentElement.dataset.registration === "open";
  show(mayRegister && location.hash === "#register" ? "register" : "signin", isStart);
}

/** Shows the account, also after somebody has signed in in another tab. */
async function showAccount() {
  const found = await latchkey.me();
  if (!latchkey.signedIn) return; // they have left meanwhile
  if (user?.username !== found.username) reset();
  showUser(found);
  if (find("#account").hidden) show("account");
  await showSessions();
}

function showUser(found) {
  user = found;
  find("#name").textContent = user.username;
  find("#email").textContent = user.email ?? texts.none;
  find("#full-name").textContent = user.full_name ?? texts.none;
  for (const name of findAll("dialog [autocomplete=username]")) name.value = user.username; // for password managers
}

async function showSessions() {
  const sessions = await latchkey.json("users/me/sessions/");
  sessions.sort((a, b) => b.current - a.current);
  find("#elsewhere").hidden = sessions.length < 2;
  find("#sessions").replaceChildren(...sessions.map(sessionRow));
}

function sessionRow({ id, ip, user_agent, last_used_at, current }) {
  const row = find("#session").content.cloneNode(true);
  const program = programOf(user_agent);
  find("b bdi", row).textContent = program;
  find("span bdi", row).textContent = ip;
  find("time", row).dateTime = last_used_at;
  find("time", row).textContent = moment(new Date(last_used_at));
  find("em", row).hidden = !current;
  const button = find("button", row);
  button.hidden = current;
  button.ariaLabel = fill(texts.signout_of, { program });
  button.onclick = () => endSessions(id, texts.done_session);
  return row;
}

/** Ends sessions: one by its ID, or several by a query. */
function endSessions(which, done) {
  return attempt(find("#account"), async () => {
    await request("DELETE", "users/me/sessions/" + which).catch(unlessGone);
    await showSessions();
    find("#where").focus(); // the button may be gone
    say(done);
  });
}

/** Takes a session that has ended by itself for one that was ended. */
function unlessGone(error) {
  if (error.status !== 404) throw error;
}

/** Closes all dialogs, and removes what was typed or shown. */
function reset() {
  user = undefined;
  for (const dialog of findAll("dialog[open]")) dialog.close();
  for (const form of findAll("form")) form.reset();
  find("#sessions").replaceChildren();
  for (const text of findAll("#name, #email, #full-name")) text.textContent = "";
}

/** Leaves the account, of which nothing stays on the page. */
function leave(text) {
  reset();
  history.replaceState(null, "", location.href.split("#")[0]);
  showDoor();
  say(text);
}

// Requests.

/**
 * Sends a request and returns the answer's JSON. If the session has ended, or its login was too long
 * ago for this request, it asks for the password and sends the request again.
 */
async function request(method, path, body) {
  const init = body ? { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } } : { method };
  try {
    return await latchkey.json(path, init);
  } catch (error) {
    if (error.status !== 401 && error.status !== 403) throw error;
    if (!user) throw cancelled; // the page has left the account
    find("#confirm-why").textContent = latchkey.signedIn ? texts.confirm_text : texts.ended_ended;
    if (!(await ask("confirm"))) throw cancelled;
    return latchkey.json(path, init);
  }
}

/**
 * Does some work, once at a time, and says beside the fields or in the alert of a place why it has
 * failed. known are failures by status that this place has its own words for: a text, or the
 * name of a field and its text.
 */
async function attempt(place, work, known = {}) {
  if (place.ariaBusy === "true") return;
  place.ariaBusy = "true";
  clear(place);
  say("");
  try {
    await work();
  } catch (error) {
    if (error !== cancelled) explain(place, error, known);
  } finally {
    place.ariaBusy = "false";
  }
}

/** Says why something has failed. */
function explain(place, error, known) {
  const alert = find(".alert", place);
  const { status, detail, retryAfter } = error;
  if (status === undefined) reportError(error); // a bug of this page
  if (known[status]) {
    const [name, text] = known[status];
    return text ? mark(place.elements[name], text) : (alert.textContent = name);
  }
  if (status === 422 && Array.isArray(detail)) return explainFields(place, detail);
  if ((status === 429 || status === 503) && retryAfter) return countDown(alert, status === 429 ? texts.e_wait : texts.e_busy, retryAfter);
  alert.textContent = navigator.onLine === false ? texts.e_offline : [0, 502, 503, 504].includes(status) ? texts.e_down : texts.e_failed;
}

/** Says beside each field what the server says is wrong with it. */
function explainFields(form, problems) {
  for (const problem of problems) {
    const field = form.elements?.[problem.loc?.at(-1)];
    if (field) mark(field, fieldText(problem, field));
    else find(".alert", form).textContent = texts.e_failed;
  }
}

function fieldText({ type, ctx }, { name, value, form }) {
  if (type === "missing" || ctx?.min_length === 1 || value === "") return texts.e_required;
  if (type === "string_too_short") return fill(texts.e_short, { n: ctx?.min_length });
  if (type === "string_too_long") return fill(texts.e_long, { n: ctx?.max_length });
  if (type === "value_error" && name === "username") return texts.e_username;
  if (type === "value_error" && name === "email") return texts.e_email;
  if (type === "value_error" && name.endsWith("password")) return isSame(value, form.elements.username.value) ? texts.e_same : texts.e_common;
  return texts.e_characters;
}

function isSame(a, b) {
  return a.localeCompare(b.trim(), undefined, { sensitivity: "accent" }) === 0;
}

/** Marks a field as wrong, and moves the focus to the first one that is. */
function mark(field, text) {
  const note = document.createElement("p");
  note.className = "wrong";
  note.id = field.id + "-wrong";
  note.textContent = text;
  (field.closest(".field") ?? field).after(note);
  field.ariaInvalid = "true";
  field.setAttribute("aria-describedby", [field.dataset.describedby, note.id].filter(Boolean).join(" "));
  find("[aria-invalid=true]", field.form).focus();
}

/** Takes back what was said about a place. */
function clear(place) {
  find(".alert", place).textContent = "";
  for (const note of findAll(".wrong", place)) note.remove();
  for (const field of findAll("[aria-invalid]", place)) {
    field.removeAttribute("aria-invalid");
    field.setAttribute("aria-describedby", field.dataset.describedby);
  }
}

/** Shows how long to wait. A screen reader reads it once, not each second. */
function countDown(alert, text, seconds) {
  const [before, after] = text.split("{time}");
  const timer = document.createElement("span");
  timer.setAttribute("role", "timer");
  timer.setAttribute("aria-live", "off");
  const end = performance.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((end - performance.now()) / 1000);
    timer.textContent = duration(left);
    if (!timer.isConnected) return;
    if (left <= 0) alert.textContent = "";
    else setTimeout(tick, 1000);
  };
  alert.replaceChildren(before, timer, after);
  tick();
}

/** Says what was done. */
function say(text) {
  find("#status").textContent = text;
}

/** Says that something could not be loaded, and offers to try again. */
function trouble(text, again) {
  find("#trouble .alert").textContent = text;
  find("#again").hidden = !again;
  find("#again").onclick = again;
}

/** Loads the account. Nobody has pressed a button for it, so it says above everything what fails. */
async function load() {
  trouble("");
  try {
    await showAccount();
  } catch (error) {
    if (error.status === 401) return; // nobody is signed in
    explain(find("#trouble"), error, {});
    find("#again").hidden = false;
    find("#again").onclick = load;
  }
}

// Words.

/** Puts values in the place of {names}. */
function fill(text, values) {
  return text.replace(/{(\w+)}/g, (_, name) => values[name]);
}

function duration(seconds) {
  const [value, unit] = seconds < 120 ? [seconds, "second"] : [Math.ceil(seconds / 60), "minute"];
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(value);
}

/** Returns a time as people say it: today 09:12, 2 days ago, or the date. */
function moment(time) {
  const days = Math.round((new Date(time).setHours(0, 0, 0, 0) - new Date().setHours(0, 0, 0, 0)) / 86_400_000);
  if (days < -6) return new Intl.DateTimeFormat(language, { dateStyle: "long" }).format(time);
  const day = new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(Math.min(days, 0), "day");
  return days < 0 ? day : `${day} ${new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(time)}`;
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
function programOf(agent) {
  const nameIn = (names) => names.find(([pattern]) => pattern.test(agent))?.[1];
  const [browser, system] = [nameIn(browsers), nameIn(systems)];
  if (agent.startsWith("Mozilla/") && browser && system) return fill(texts.browser_on, { browser, system });
  return agent.match(/^[\w.-]+(?=\/)/)?.[0] || agent.trim() || texts.unknown_program;
}

// Forms and dialogs.

/** Opens a dialog. Resolves to whether what it is for was done. */
function ask(id) {
  const dialog = find(`dialog#${id}`);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "done"), { once: true }));
}

/** Does something with the values of a form when it is sent. */
function onSubmit(id, work, known) {
  const form = find(`#${id} form`);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { username, email, full_name, ...secrets } = Object.fromEntries(new FormData(form));
    attempt(form, () => work({ username: username?.trim(), email: email?.trim() || null, full_name: full_name?.trim() || null, ...secrets }), known);
  });
}

/** Closes a dialog whose work is done. */
function done(id, text) {
  find(`dialog#${id}`).close("done");
  say(text);
}

onSubmit("signin", ({ username, password }) => latchkey.login({ username, password }), { 401: [texts.e_login] });

onSubmit(
  "register",
  async (person) => {
    await latchkey.register(person);
    await latchkey.login(person);
  },
  { 400: ["username", texts.e_taken], 403: [texts.e_closed] },
);

onSubmit("profile", async ({ email, full_name }) => {
  showUser(await request("PATCH", "users/me/", { email, full_name }));
  done("profile", texts.done_profile);
});

onSubmit(
  "password",
  async ({ current_password, new_password }) => {
    await request("POST", "users/me/password", { current_password, new_password });
    done("password", texts.done_password);
    await showSessions();
  },
  { 400: ["current_password", texts.e_password] },
);

onSubmit("delete", async ({ username }) => {
  if (username.normalize() !== user.username) return mark(find("#delete-username"), fill(texts.e_not_you, { name: user.username }));
  await request("DELETE", "users/me/");
  await signOut(texts.done_delete);
});

onSubmit(
  "confirm",
  async ({ password }) => {
    await latchkey.login({ username: user.username, password });
    find("dialog#confirm").close("done");
  },
  { 401: ["password", texts.e_password] },
);

async function signOut(text) {
  await latchkey.logout().catch(() => (text = texts.e_logout));
  say(text);
}

find("#signout").onclick = () => signOut(texts.ended_logout);
find("#elsewhere").onclick = () => endSessions("?keep=current", texts.done_elsewhere);

for (const button of findAll("[data-opens]")) {
  button.onclick = () => {
    const { elements } = find(`#${button.dataset.opens} form`);
    if (button.dataset.opens === "profile") [elements.email.value, elements.full_name.value] = [user.email ?? "", user.full_name ?? ""];
    ask(button.dataset.opens);
  };
}

for (const dialog of findAll("dialog")) {
  const form = find("form", dialog);
  find("[data-cancels]", dialog).onclick = () => dialog.close();
  dialog.addEventListener("close", () => {
    clear(form);
    form.reset();
    if (user) showUser(user);
    if (user && !latchkey.signedIn && !find("dialog[open]")) leave(texts.ended_ended);
  });
}

for (const input of findAll("input")) input.dataset.describedby = input.getAttribute("aria-describedby") ?? "";

for (const input of findAll("[type=password]")) {
  const button = find("#reveal").content.firstElementChild.cloneNode();
  const reveal = (isShown) => {
    input.type = isShown ? "text" : "password";
    button.textContent = isShown ? texts.hide : texts.show;
    button.ariaLabel = isShown ? texts.hide_password : texts.show_password;
  };
  button.onclick = () => reveal(input.type === "password");
  input.form.addEventListener("submit", () => reveal(false));
  input.form.addEventListener("reset", () => reveal(false));
  const field = document.createElement("div");
  field.className = "field";
  input.before(field);
  field.append(input, button);
  reveal(false);
}

// What happens elsewhere.

latchkey.addEventListener("signedin", load);

latchkey.addEventListener("signedout", ({ detail }) => {
  if (detail.reason !== "logout" && find("dialog[open]")) return; // what was typed is kept, until it is sent
  leave(texts["ended_" + detail.reason]);
});

addEventListener("hashchange", () => user || showDoor());
addEventListener("offline", () => trouble(texts.e_offline));
addEventListener("online", () => (latchkey.signedIn ? load() : trouble("")));

find("#host").textContent = location.host;
showDoor(true);
load();
