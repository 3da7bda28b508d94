// account.js is the account page: its states, its requests and its dialogs. latchkey.js has the
// session, and account-messages.js what the page says.

import { announce, clear, explain, fill, find, findAll, isSameName, mark, moment, programOf, texts } from "./account-messages.js";
import { Latchkey } from "./latchkey.js";

const latchkey = new Latchkey();

/** Who is shown, or undefined. */
let user;

/** request rejects with this if a dialog is cancelled. That is no failure, so no message is shown. */
const cancelled = Symbol("cancelled");

// The states: sign in, register, account.

/** Shows a state. Moves the focus to its heading, except when the page opens. */
function show(state, isStart) {
  for (const section of findAll("main > section")) {
    section.hidden = section.id !== state;
    clear(section);
  }
  find("#signout").hidden = state !== "account";
  find("#language").hidden = state === "account"; // it reloads the page, which would sign the user out
  find("#language").hash = location.hash;
  announce("");
  const title = find(`#${state} h1`);
  document.title = `${title.textContent} · ${location.host}`;
  if (!isStart) title.focus();
}

/** Shows the form to sign in or to register. */
function showSignedOut(isStart) {
  const mayRegister = document.documentElement.dataset.registration === "open";
  show(mayRegister && location.hash === "#register" ? "register" : "signin", isStart);
}

/** Loads and shows the account. No button started it, so a failure is shown at the top of the page. */
async function load() {
  clear(find("#notices"));
  try {
    await showAccount();
  } catch (error) {
    if (error.status !== 401) explain(find("#notices"), error); // with a 401, nobody is signed in
  }
}

async function showAccount() {
  const found = await latchkey.me();
  if (!latchkey.signedIn) return; // they signed out while this waited
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
  for (const field of findAll("dialog [autocomplete=username]")) field.value = user.username; // for password managers
}

async function showSessions() {
  const sessions = await latchkey.json("users/me/sessions/");
  if (!user) return; // they signed out while this waited
  sessions.sort((a, b) => b.current - a.current);
  find("#elsewhere").hidden = sessions.length < 2;
  find("#sessions").replaceChildren(...sessions.map(sessionRow));
}

function sessionRow({ id, ip, user_agent, last_used_at, current }) {
  const row = find("#session").content.cloneNode(true);
  const program = programOf(user_agent);
  find("b bdi", row).textContent = program;
  find(".badge", row).hidden = !current;
  find(".quiet bdi", row).textContent = ip;
  find("time", row).dateTime = last_used_at;
  find("time", row).textContent = moment(new Date(last_used_at));
  const button = find("button", row);
  button.hidden = current;
  button.ariaLabel = fill(texts.signout_of, { program });
  button.onclick = () => endSessions(id, fill(texts.done_session, { program }));
  return row;
}

/** Shows the form to sign in, and removes everything about the account from the page. */
function backToSignIn(text) {
  reset();
  history.replaceState(null, "", location.href.split("#")[0]);
  showSignedOut();
  announce(text);
}

/** Closes all dialogs, and removes what was typed or shown. */
function reset() {
  user = undefined;
  for (const dialog of findAll("dialog[open]")) dialog.close();
  for (const form of findAll("form")) form.reset();
  for (const text of findAll("#name, #email, #full-name, #sessions")) text.replaceChildren();
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
 * Runs work unless it is already running here. If it fails, the fields or the alert of place say
 * why; known has messages of the place's own.
 */
async function attempt(place, work, known) {
  if (place.ariaBusy === "true") return;
  place.ariaBusy = "true";
  clear(place);
  announce("");
  try {
    await work();
  } catch (error) {
    if (error !== cancelled) explain(place, error, known);
  } finally {
    place.ariaBusy = "false";
  }
}

/** Ends sessions: one by its ID, or several by a query. */
function endSessions(which, text) {
  return attempt(find("#devices"), async () => {
    await request("DELETE", "users/me/sessions/" + which).catch(ignoreMissing);
    await showSessions();
    find("#devices-title").focus(); // the button may be gone
    announce(text);
  });
}

/** Ignores a 404: the session has already ended. */
function ignoreMissing(error) {
  if (error.status !== 404) throw error;
}

/** Signs out. The "signedout" event shows the form, and text takes the place of what it says. */
async function signOut(text) {
  try {
    await latchkey.logout();
  } catch {
    text = texts.e_logout;
  }
  announce(text);
}

// Dialogs and forms.

/** Opens a dialog. Resolves to true if the dialog did its work, to false if it was cancelled. */
function ask(id) {
  const dialog = find(`dialog#${id}`);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "done"), { once: true }));
}

/** Closes a dialog that has done its work. */
function finish(id, text) {
  find(`dialog#${id}`).close("done");
  announce(text);
}

/** Does something with the values of a form when it is sent. */
function onSubmit(id, work, known) {
  const form = find(`#${id} form`);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(form, () => work(valuesOf(form)), known);
  });
}

/** Returns what was typed. All but passwords are trimmed. The optional ones are null if they are empty. */
function valuesOf(form) {
  const { username, email, full_name, ...passwords } = Object.fromEntries(new FormData(form));
  return { username: username?.trim(), email: email?.trim() || null, full_name: full_name?.trim() || null, ...passwords };
}

onSubmit("signin", ({ username, password }) => latchkey.login({ username, password }), { 401: { text: texts.e_login } });

async function register(person) {
  await latchkey.register(person);
  await latchkey.login(person);
}
onSubmit("register", register, { 400: { field: "username", text: texts.e_taken }, 403: { text: texts.e_closed } });

onSubmit("profile", async ({ email, full_name }) => {
  showUser(await request("PATCH", "users/me/", { email, full_name }));
  finish("profile", texts.done_profile);
});

async function changePassword({ current_password, new_password }) {
  await request("POST", "users/me/password", { current_password, new_password });
  finish("password", texts.done_password);
  await showSessions();
}
onSubmit("password", changePassword, { 400: { field: "current_password", text: texts.e_password } });

onSubmit("delete", async ({ username }) => {
  if (!isSameName(username, user.username)) return mark(find("#delete-username"), fill(texts.e_not_you, { name: user.username }));
  await request("DELETE", "users/me/");
  await signOut(texts.done_delete);
});

async function confirm({ password }) {
  await latchkey.login({ username: user.username, password });
  find("dialog#confirm").close("done");
}
onSubmit("confirm", confirm, { 401: { field: "password", text: texts.e_password } });

for (const button of findAll("[data-opens]")) {
  button.onclick = () => {
    if (button.dataset.opens === "profile") fillProfile();
    ask(button.dataset.opens);
  };
}

function fillProfile() {
  const { email, full_name } = find("#profile form").elements;
  email.value = user.email ?? "";
  full_name.value = user.full_name ?? "";
}

for (const dialog of findAll("dialog")) {
  const form = find("form", dialog);
  find("[data-cancels]", dialog).onclick = () => dialog.close();
  dialog.addEventListener("close", () => {
    clear(form);
    form.reset();
    if (user) showUser(user);
    if (user && !latchkey.signedIn && !find("dialog[open]")) backToSignIn(texts.ended_ended);
  });
}

for (const input of findAll("[type=password]")) addReveal(input);

/** Adds a button that shows a password. It is hidden again when the form is sent or reset. */
function addReveal(input) {
  const button = find("#reveal").content.firstElementChild.cloneNode();
  const reveal = (isShown) => {
    input.type = isShown ? "text" : "password";
    button.textContent = isShown ? texts.hide : texts.show;
    button.ariaLabel = isShown ? texts.hide_password : texts.show_password;
  };
  reveal(false);
  button.onclick = () => reveal(input.type === "password");
  for (const event of ["submit", "reset"]) input.form.addEventListener(event, () => reveal(false));
  const field = document.createElement("div");
  field.className = "field";
  input.replaceWith(field);
  field.append(input, button);
}

find("#signout").onclick = () => signOut(texts.ended_logout);
find("#elsewhere").onclick = () => endSessions("?keep=current", texts.done_elsewhere);
find("#again").onclick = load;

// What happens elsewhere.

latchkey.addEventListener("signedin", load);

latchkey.addEventListener("signedout", ({ detail }) => {
  if (detail.reason !== "logout" && find("dialog[open]")) return; // what was typed is kept until it is sent
  backToSignIn(texts["ended_" + detail.reason]);
});

addEventListener("hashchange", () => user || showSignedOut());
addEventListener("offline", () => explain(find("#notices"), { status: 0 }));
addEventListener("online", load);

find("#host").textContent = location.host;
showSignedOut(true);
load();
