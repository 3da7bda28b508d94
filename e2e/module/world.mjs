// What latchkey.js finds in a browser and Node does not have: several tabs with their locks and
// storage, a clock that jumps. And a server that refuses every refresh token that comes twice.

import { createServer } from "node:http";
import { once } from "node:events";
import { Latchkey, LatchkeyError } from "../../web/latchkey.js";

export { Latchkey, LatchkeyError };

/** A Locks is the part of navigator.locks that the module uses (W3C Web Locks). */
class Locks {
  #held = [];
  #queue = [];

  request(name, options, work) {
    const { promise, resolve, reject } = resolvers();
    const lock = { name, mode: options.mode ?? "exclusive", work, resolve, reject };
    if (options.steal) for (const other of this.#held.filter((held) => held.name === name)) this.#drop(other);
    options.signal?.addEventListener("abort", () => {
      if (!this.#queue.includes(lock)) return;
      this.#queue = this.#queue.filter((other) => other !== lock);
      reject(options.signal.reason);
    });
    options.steal ? this.#queue.unshift(lock) : this.#queue.push(lock);
    this.#grant();
    return promise;
  }

  async query() {
    return { held: this.#held.map(({ name, mode }) => ({ name, mode })), pending: [] };
  }

  #drop(lock) {
    this.#held = this.#held.filter((held) => held !== lock);
    lock.reject(new DOMException("stolen", "AbortError"));
  }

  #grant() {
    for (const lock of [...this.#queue]) {
      const rivals = this.#held.filter((held) => held.name === lock.name);
      if (rivals.some((held) => held.mode === "exclusive" || lock.mode === "exclusive")) continue;
      this.#queue = this.#queue.filter((other) => other !== lock);
      this.#held.push(lock);
      queueMicrotask(() => this.#run(lock));
    }
  }

  async #run(lock) {
    try {
      lock.resolve(await lock.work(lock));
    } catch (error) {
      lock.reject(error);
    }
    this.#held = this.#held.filter((held) => held !== lock);
    this.#grant();
  }
}

/** Is Promise.withResolvers, which Node 20 has not. */
function resolvers() {
  const all = {};
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
}

/** A Storage is that of one tab. */
class Storage {
  texts = new Map();
  getItem = (name) => this.texts.get(name) ?? null;
  setItem = (name, text) => void this.texts.set(name, text);
  removeItem = (name) => void this.texts.delete(name);
}

/** Opens a browser, whose time-outs come sooner by a factor, its speed. */
export function openBrowser(t, { hasLocks = true, speed = 1 } = {}) {
  const before = { timeout: AbortSignal.timeout, now: Date.now };
  const browser = { locks: new Locks(), speed, ahead: 0, tabs: [] };
  const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  define("navigator", hasLocks ? { locks: browser.locks } : {});
  AbortSignal.timeout = (milliseconds) => before.timeout.call(AbortSignal, milliseconds / browser.speed);
  Date.now = () => before.now() + browser.ahead;
  t.after(() => {
    for (const tab of browser.tabs) tab.close();
    AbortSignal.timeout = before.timeout;
    Date.now = before.now;
  });
  return browser;
}

/** Opens a tab of it, with the storage that it had before if it is reloaded. */
export function openTab(browser, options, storage = new Storage()) {
  const listeners = {};
  globalThis.sessionStorage = storage;
  globalThis.addEventListener = (type, listener) => (listeners[type] = listener);
  const tab = { latchkey: new Latchkey(options), events: [], storage };
  tab.close = (persisted = false) => listeners.pagehide({ persisted });
  tab.comeBack = () => listeners.pageshow({ persisted: true });
  tab.latchkey.addEventListener("signedin", () => tab.events.push("signedin"));
  tab.latchkey.addEventListener("signedout", (event) => tab.events.push(event.detail.reason));
  browser.tabs.push(tab);
  return tab;
}

/**
 * Starts a server with users and tokens. script may answer in its place: it gets the request, and
 * returns [status, headers, body] or nothing.
 */
export async function startServer(t, script = () => {}) {
  const state = { requests: [], sessions: new Map(), reused: 0, life: 1800, grace: false };
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray().catch(() => []);
    const seen = { method: request.method, path: request.url, token: request.headers.authorization, body: Buffer.concat(chunks).toString() };
    state.requests.push(seen);
    const answer = (await script(seen, response)) ?? serve(state, seen);
    if (response.destroyed || response.headersSent) return;
    const [status, headers, body] = answer;
    response.writeHead(status, headers);
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  });
  server.listen(0, "localhost");
  await once(server, "listening");
  t.after(() => (server.closeAllConnections(), server.close()));
  return Object.assign(state, { url: `http://localhost:${server.address().port}/` });
}

function serve(state, { method, path, token, body }) {
  const json = { "Content-Type": "application/json" };
  const form = new URLSearchParams(body);
  if (path === "/token") return grant(state, form, json);
  if (path === "/revoke") {
    state.sessions.delete(form.get("token")?.split(".")[0]);
    return [200, json, {}];
  }
  const [id, number] = token?.replace("Bearer access-", "").split(".") ?? [];
  const session = state.sessions.get(id);
  if (!session || (session.refused ?? -1) >= Number(number)) return [401, json, { detail: "Could not validate credentials" }];
  return [200, json, { username: session.username, email: null, full_name: null, method, body }];
}

function grant(state, form, json) {
  const refuse = (detail) => [400, json, { detail, error: "invalid_grant" }];
  if (form.get("grant_type") === "password") {
    if (form.get("password") !== "s3cret") return [401, json, { detail: "Incorrect username or password", error: "invalid_grant" }];
    const id = String(state.sessions.size + Math.random()).replace(".", "-");
    state.sessions.set(id, { username: form.get("username"), number: 0 });
    return [200, json, issue(state, id)];
  }
  const [id, number] = form.get("refresh_token").split(".");
  const session = state.sessions.get(id);
  if (!session) return refuse(state.refusal ?? "the session has ended");
  if (state.grace && Number(number) === session.number - 1) return [200, json, issue(state, id)];
  if (Number(number) !== session.number) {
    state.reused++;
    state.sessions.delete(id);
    return refuse("refresh token already used; the session has ended");
  }
  session.number++;
  return [200, json, issue(state, id)];
}

function issue(state, id) {
  const { number } = state.sessions.get(id);
  return { access_token: `access-${id}.${number}`, token_type: "bearer", expires_in: state.life, refresh_token: `${id}.${number}` };
}

/** Makes the server refuse all access tokens that it has issued. */
export function expire(server) {
  for (const session of server.sessions.values()) session.refused = session.number;
}

/** Waits until something is true that becomes true by itself. */
export async function until(ok) {
  for (let n = 0; !ok(); n++) {
    if (n === 2000) throw new Error("waited in vain for " + ok);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Returns how many requests to a path the server has seen. */
export const count = (server, path, body = "") => server.requests.filter((seen) => seen.path === path && seen.body.includes(body)).length;

export const refreshes = (server) => count(server, "/token", "grant_type=refresh_token");
