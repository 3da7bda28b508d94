// account.js is the account page: its states, requests and dialogs. latchkey.js keeps the session,
// and account-messages.js writes the messages.

import { announce, clear, explain, fill, find, findAll, isSameName, mark, moment, programOf, texts } from "./account-messages.js";
import { Latchkey } from "./latchkey.js";

const latchkey = new Latchkey();

/** Who is shown, or undefined. */
let user;

/** Resolves to who is signed in. After each "signedin" event that may be somebody else. */
let identity;
const identify = () => (identity = latchkey.me());

/** Why the session has ended, if that has not been said yet. */
let ended;

/** request rejects with this if a dialog is cancelled, which is no failure. */
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
  if (state === "account") history.replaceState(null, "", location.href.split("#")[0]); // not #register
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

/** Aborts when somebody signs out, or when loading begins anew. */
let loading = new AbortController();

/** Loads and shows the account. A failure is shown at the top of the page. */
async function load() {
  loading.abort();
  const { signal } = (loading = new AbortController());
  clear(find("#notices"));
  try {
    const found = await identify();
    if (signal.aborted) return;
    showAccount(found);
    await showSessions(signal);
  } catch (error) {
    if (!signal.aborted && error.status !== 401) explain(find("#notices"), error); // with a 401, nobody is signed in
  }
}

function showAccount(found) {
  const isOther = user?.username !== found.username;
  if (isOther) reset();
  showUser(found);
  if (isOther || find("#account").hidden) show("account");
}

function showUser(found) {
  user = found;
  find("#name").textContent = user.username;
  find("#email").textContent = user.email ?? texts.none;
  find("#full-name").textContent = user.full_name ?? texts.none;
}

async function showSessions(signal) {
  const sessions = await latchkey.json("users/me/sessions/?limit=1000", { signal });
  sessions.sort((a, b) => b.current - a.current);
  const hadFocus = find("#sessions").contains(document.activeElement);
  find("#elsewhere").hidden = sessions.length < 2;
  find("#sessions").replaceChildren(...sessions.map(sessionRow));
  if (hadFocus) find("#devices-title").focus(); // its button is gone
}

function sessionRow({ id, ip, user_agent, last_used_at, current }) {
  const row = find("#session").content.cloneNode(true);
  const program = programOf(user_agent);
  find("b bdi", row).textContent = program;
  find(".badge", row).hidden = !current;
  find(".quiet bdi", row).textContent = ip;
  find(".quiet", row).id = "session-" + id;
  find("time", row).dateTime = last_used_at;
  find("time", row).textContent = moment(new Date(last_used_at));
  const button = find("button", row);
  button.hidden = current;
  button.setAttribute("aria-label", fill(texts.signout_of, { program }));
  button.setAttribute("aria-describedby", "session-" + id);
  button.onclick = () => endSessions(id, fill(texts.done_session, { program }));
  return row;
}

/** Shows the form to sign in, and removes everything about the account from the page. */
function backToSignIn(text) {
  loading.abort();
  reset();
  showSignedOut();
  announce(text);
}

/** Closes all dialogs, stops what is under way, and removes what was typed or shown. */
function reset() {
  user = ended = profile = undefined;
  mayBeChanged = false;
  stopAll();
  for (const dialog of findAll("dialog[open]")) dialog.close();
  for (const form of findAll("form")) form.reset();
  for (const text of findAll("#name, #email, #full-name, #sessions")) text.replaceChildren();
  clear(document);
}

// Requests.

/** What is under way, by the form or card that it was started in. A place does one thing at a time. */
const turns = new Map();

/**
 * Runs work, which gets a signal that aborts when its answer is no longer wanted. If it fails, the
 * fields or the alert of place say why; known has messages of the place's own.
 */
async function attempt(place, work, known) {
  if (turns.has(place)) return;
  const turn = new AbortController();
  turns.set(place, turn);
  place.setAttribute("aria-busy", "true");
  clear(place);
  announce("");
  try {
    await work(turn.signal);
  } catch (error) {
    if (!turn.signal.aborted && error !== cancelled) explain(place, error, known);
  } finally {
    if (turns.get(place) === turn) stop(place);
  }
}

/** Stops what is under way in a place, and returns whether there was anything. */
function stop(place) {
  turns.get(place)?.abort();
  place.removeAttribute("aria-busy");
  return turns.delete(place);
}

function stopAll() {
  for (const place of turns.keys()) stop(place);
}

/**
 * Sends a request in the name of the user who is shown, and returns the answer's JSON. If the session
 * has ended, or its login was too long ago for this request, it asks for the password and sends the
 * request again.
 */
async function request(signal, method, path, body) {
  const json = body && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const send = async () => {
    const { username } = await identity.catch(identify);
    if (signal.aborted || username !== user?.username) throw cancelled;
    return latchkey.json(path, { method, signal, ...json });
  };
  try {
    return await send();
  } catch (error) {
    if (signal.aborted) throw cancelled;
    const isStale = error.status === 403 && String(error.detail).startsWith("Sign in again");
    if (error.status !== 401 && !isStale) throw error;
    find("#confirm-why").textContent = isStale ? texts.confirm_text : ended ?? texts.ended_ended;
    if (!(await ask("confirm"))) throw cancelled;
    return send();
  }
}

/** Ends sessions: one by its ID, or several by a query. */
function endSessions(which, text) {
  return attempt(find("#devices"), async (signal) => {
    await request(signal, "DELETE", "users/me/sessions/" + which).catch(ignoreMissing);
    find("#devices-title").focus(); // the button will be gone
    announce(text);
    await showSessions(signal);
  });
}

/** Ignores a 404: the session has already ended. */
function ignoreMissing(error) {
  if (error.status !== 404) throw error;
}

function signOut() {
  backToSignIn(texts.ended_logout);
  return latchkey.logout().catch(() => latchkey.signedIn || announce(texts.e_logout));
}

// Dialogs and forms.

/** Opens a dialog. Resolves to true if the dialog did its work, to false if it was cancelled. */
function ask(id) {
  const dialog = find(`dialog#${id}`);
  for (const field of findAll("[autocomplete=username]", dialog)) field.value = user.username; // for password managers
  dialog.returnValue = "";
  if (!dialog.open) {
    stop(find("form", dialog)); // of the last opening
    dialog.showModal();
  }
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
    attempt(form, (signal) => work(valuesOf(form), signal), known);
  });
}

/** Returns what was typed. All but passwords are trimmed. The optional ones are null if they are empty. */
function valuesOf(form) {
  const { username, email, full_name, ...passwords } = Object.fromEntries(new FormData(form));
  return { username: username?.trim(), email: email?.trim() || null, full_name: full_name?.trim() || null, ...passwords };
}

// The keys of what an onSubmit knows are the details of the server's refusals.

onSubmit("signin", ({ username, password }) => latchkey.login({ username, password }), {
  "Incorrect username or password": { text: texts.e_login },
});

/** Whether nobody knows if the server has done what it was asked to. */
const isUnclear = ({ status }) => status === 0 || status >= 500;

/** The name that may have been registered, although the answer, or the login after it, failed. */
let registered;

async function register(person) {
  const isAgain = registered === person.username;
  registered = person.username;
  await latchkey.register(person).catch((error) => {
    if (isAgain && error.status === 400) return; // it was; so log in
    if (!isAgain && !isUnclear(error)) registered = undefined;
    throw error;
  });
  await latchkey.login(person);
  registered = undefined;
}
onSubmit("register", register, {
  "Username already registered": { field: "username", text: texts.e_taken },
  "Registration is closed": { text: texts.e_closed },
  "Incorrect username or password": { field: "username", text: texts.e_taken },
});

/** The values of the profile's form before it was edited. */
let profile;

function fillProfile() {
  const form = find("#profile form");
  form.elements.email.value = user.email ?? "";
  form.elements.full_name.value = user.full_name ?? "";
  profile = valuesOf(form);
}

/** Changes what was edited, and nothing that another tab may have changed meanwhile. */
onSubmit("profile", async (values, signal) => {
  const edited = ["email", "full_name"].filter((name) => values[name] !== profile[name]);
  showUser(await request(signal, "PATCH", "users/me/", Object.fromEntries(edited.map((name) => [name, values[name]]))));
  finish("profile", texts.done_profile);
});

/** Whether the password may have been changed, although the answer failed. */
let mayBeChanged = false;

async function changePassword({ current_password, new_password }, signal) {
  await request(signal, "POST", "users/me/password", { current_password, new_password }).catch((error) => {
    if (mayBeChanged && error.detail === "Incorrect password") return latchkey.login({ username: user.username, password: new_password });
    mayBeChanged ||= isUnclear(error);
    throw error;
  });
  mayBeChanged = false;
  finish("password", texts.done_password);
  load(); // the other sessions have ended
}
onSubmit("password", changePassword, {
  "Incorrect password": { field: "current_password", text: texts.e_password },
  "Incorrect username or password": { field: "current_password", text: texts.e_password },
});

onSubmit("delete", async ({ username }, signal) => {
  if (!isSameName(username, user.username)) return mark(find("#delete-username"), fill(texts.e_not_you, { name: user.username }));
  await request(signal, "DELETE", "users/me/").catch(async (error) => {
    const isGone = isUnclear(error) && (await identify().catch((problem) => problem)).status === 401;
    if (!isGone) throw error;
    backToSignIn(ended ?? texts.ended_ended); // which may be because of the deletion
    throw cancelled;
  });
  backToSignIn(texts.done_delete);
  await latchkey.logout().catch(() => {}); // the session has ended with the account
});

async function confirm({ password }, signal) {
  await latchkey.login({ username: user.username, password });
  if (!signal.aborted) find("dialog#confirm").close("done");
}
onSubmit("confirm", confirm, { "Incorrect username or password": { field: "password", text: texts.e_password } });

for (const button of findAll("[data-opens]")) {
  button.onclick = () => {
    if (button.dataset.opens === "profile") fillProfile();
    ask(button.dataset.opens);
  };
}

for (const dialog of findAll("dialog")) {
  const form = find("form", dialog);
  find("[data-cancels]", dialog).onclick = () => dialog.close();
  dialog.addEventListener("close", () => {
    if (dialog.open) return; // it was opened again before this event came
    const wasCancelled = stop(form) && dialog.returnValue !== "done";
    clear(form);
    form.reset();
    if (!user) return;
    if (!latchkey.signedIn && !find("dialog[open]")) backToSignIn(ended ?? texts.ended_ended);
    else if (wasCancelled) load(); // it may have been done
  });
}

for (const input of findAll("[type=password]")) addReveal(input);

/** Adds a button that shows a password. It is hidden again when the form is sent or reset. */
function addReveal(input) {
  const button = find("#reveal").content.firstElementChild.cloneNode();
  input.autocapitalize = "none";
  input.spellcheck = false;
  const reveal = (isShown) => {
    input.type = isShown ? "text" : "password";
    button.textContent = isShown ? texts.hide : texts.show;
  };
  reveal(false);
  button.onclick = () => reveal(input.type === "password");
  for (const event of ["submit", "reset"]) input.form.addEventListener(event, () => reveal(false));
  const [label] = input.labels;
  [label.id, button.id] = [input.id + "-label", input.id + "-reveal"];
  button.setAttribute("aria-labelledby", `${button.id} ${label.id}`); // Show Current password
  const field = document.createElement("div");
  field.className = "field";
  input.replaceWith(field);
  field.append(input, button);
}

find("#signout").onclick = signOut;
find("#elsewhere").onclick = () => endSessions("?keep=current", texts.done_elsewhere);
find("#again").onclick = () => {
  find("main > section:not([hidden]) h1")?.focus(); // this button will be gone
  load();
};

// What happens elsewhere.

latchkey.addEventListener("signedin", () => {
  const isConfirming = find("#confirm").open; // then the request compares the names again
  if (!isConfirming) stopAll(); // somebody else may be signed in now
  for (const form of findAll("main form")) form.reset();
  ended = undefined;
  load();
});

latchkey.addEventListener("signedout", ({ detail }) => {
  if (!user) return;
  ended = texts["ended_" + detail.reason];
  if (detail.reason !== "logout" && find("dialog[open]")) return; // what was typed is kept until it is sent
  backToSignIn(ended);
});

addEventListener("hashchange", () => user || showSignedOut());

addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return; // else somebody may have signed out while the page was in the back-forward cache
  find("#account").hidden = true;
  for (const dialog of findAll("dialog[open]")) dialog.close();
  load();
});

addEventListener("offline", () => explain([...findAll("dialog[open] form")].at(-1) ?? find("#notices"), { status: 0 })); // the last is on top
addEventListener("online", () => {
  for (const alert of findAll(".alert")) if (alert.textContent === texts.e_offline) alert.textContent = "";
  load();
});

find("#stuck").remove();
find("#host").textContent = location.host;
showSignedOut(true);
load();
