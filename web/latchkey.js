// latchkey.js signs people in to a Latchkey server, and keeps them signed in:
//
//   import { Latchkey } from "https://login.example.com/latchkey.js";
//   const latchkey = new Latchkey();
//   await latchkey.login({ username, password });
//   const answer = await latchkey.fetch("users/me/");
//
// Tokens are in memory only. The tabs of one origin share one session: a new tab gets the tokens from
// another one, and only one tab at a time refreshes them. See docs/browser.md and latchkey.d.ts.

/** How long the server may take to answer what this module asks of it, in milliseconds. */
const answerTimeout = 15_000;

/** The same for a request with a token, which may need a refresh and waits before it. */
const patientTimeout = 60_000;

/** How much of such an answer is read, in bytes. The largest user takes less than half of it. */
const maxAnswer = 1 << 20;

/** How often a request is sent, if the server says each time that it has to wait. */
const maxTries = 3;

/** The longest such wait, in seconds. A person should be told of a longer one. */
const maxWait = 10;

/** A token is refreshed in the last tenth of its life, but not earlier than this, in milliseconds. */
const refreshAhead = 30_000;

/**
 * How long a tab waits for the lock, in milliseconds, before it steals it from one that must be
 * frozen: no other holds it for longer than catchUpTimeout and answerTimeout.
 */
const lockTimeout = 30_000;

/** How long a tab waits for tokens that another tab has, in milliseconds. */
const catchUpTimeout = 5_000;

/** Reasons for the end of a session, by what the server says about its refresh token. */
const reasons = new Map([
  ["refresh token expired", "expired"],
  ["refresh token already used; the session has ended", "reused"],
]);

/** The methods of which RFC 9110 §9.2.2 says that they can be repeated. */
const idempotent = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

/** A LatchkeyError says why something was not done. It never contains a token or a password. */
export class LatchkeyError extends Error {
  /**
   * @param {string} message
   * @param {{ status?: number, code?: string, detail?: string | import("./latchkey.js").FieldError[], retryAfter?: number, cause?: unknown }} [about]
   */
  constructor(message, { status = 0, code, detail, retryAfter, cause } = {}) {
    super(message, { cause });
    this.name = "LatchkeyError";
    this.status = status; // of HTTP; 0 if there was no answer
    this.code = code; // RFC 6749's error, if the server has sent one
    this.detail = detail; // a text, or for 422 a list of { type, loc, msg }
    this.retryAfter = retryAfter; // seconds, if the server has sent them
  }
}

/** A Latchkey is one person's session on a Latchkey server. latchkey.d.ts describes what it does. */
export class Latchkey extends EventTarget {
  #url; // of the server; ends with a slash
  #origins; // that may see the token
  #storage; // where the refresh token survives a reload, if anywhere
  #name; // of the lock and the channel
  #tab = Math.random(); // who sends a message
  #others = new Set(); // tabs that have sent one, and have not closed since
  #channel; // to the other tabs, if there can be any
  #session; // { begun, number, access, refresh, expires, life }, of which begun is the identity
  #begunHere; // the session that this tab has begun
  #ended = 0; // begun of the latest session that is known to have ended
  #stopHolding; // gives up the lock that shows others which tokens this tab has
  #arrivals = new Set(); // who waits for a message
  #renewal; // the refresh under way, which requests share
  #ready; // resolves when the other tabs have been asked

  /** @param {import("./latchkey.js").LatchkeyOptions} [options] */
  constructor({ url, persist = "memory", origins = [] } = {}) {
    super();
    this.#url = baseOf(url ?? new URL(".", import.meta.url));
    this.#origins = new Set([this.#url, ...origins].map(originOf));
    this.#name = "latchkey 1 " + this.#url;
    this.#storage = storageFor(persist);
    globalThis.addEventListener?.("pagehide", (event) => this.#leave(event.persisted));
    globalThis.addEventListener?.("pageshow", (event) => event.persisted && this.#enter());
    this.#enter();
  }

  get signedIn() {
    return this.#session !== undefined;
  }

  register(user) {
    const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(user) };
    return readUser((signal) => fetch(this.#at("users/"), { ...init, signal }));
  }

  async login({ username, password, otp }) {
    const sent = Date.now();
    const form = { grant_type: "password", username, password, ...(otp === undefined ? {} : { otp }) };
    const tokens = readTokens(await this.#post("token", form), sent);
    const headers = { Authorization: "Bearer " + tokens.access };
    const user = await readUser((signal) => fetch(this.#at("users/me/"), { headers, signal })).catch((error) => {
      this.#drop(tokens.refresh);
      throw error;
    });
    await this.#know();
    await this.#begin(tokens);
    return user;
  }

  async logout() {
    await this.#know();
    const session = this.#session;
    if (!session) return;
    this.#end(session.begun, "logout", true);
    await insist(() => this.#revoke(session.refresh));
  }

  async me() {
    await this.#know();
    if (!this.#session) throw new LatchkeyError("401 Nobody is signed in", { status: 401, detail: "Not authenticated" });
    return readUser((signal) => this.fetch("users/me/", { signal }), patientTimeout);
  }

  json(input, init = {}) {
    const signal = init.signal ?? input.signal;
    return within(ask((limit) => this.fetch(input, { ...init, signal: either(limit, signal) }), patientTimeout), signal);
  }

  async fetch(input, init = {}) {
    const url = new URL(input instanceof Request ? input.url : input, this.#url);
    const headers = new Headers(init.headers ?? input.headers);
    const signal = init.signal ?? input.signal;
    if (headers.has("Authorization") || !this.#origins.has(url.origin)) return send(input, url, init);
    await within(this.#know(), signal);
    await within(this.#freshen(), signal);
    let session = this.#session;
    const once = init.body instanceof ReadableStream;
    const attempt = () => send(input, url, { ...init, headers: withToken(headers, (session = this.#latest(session))) });
    const attempts = () => (once ? attempt() : patiently(attempt, init.method ?? input.method, signal));

    const answer = await attempts();
    if (answer.status !== 401 || !session) return answer;
    await within(this.#renew(session.access), signal);
    if (once || this.#latest(session) === session) return answer;
    discard(answer);
    return attempts();
  }

  // The session of this tab.

  /**
   * Returns the latest tokens of a session. Those of a later session may be somebody else's, in
   * whose name a request that has begun must not be repeated.
   */
  #latest(session) {
    return session && this.#session?.begun === session.begun ? this.#session : session;
  }

  /** Refreshes a token that is about to expire, and waits for it if the token has expired. */
  async #freshen() {
    const session = this.#session;
    if (!session || Date.now() < session.expires - Math.min(refreshAhead, session.life / 10)) return;
    const renewal = this.#renew(session.access);
    if (Date.now() >= session.expires) await renewal;
    renewal.catch(() => {}); // the next request tries again
  }

  /** Replaces an access token, unless that was done since. Rejects if that failed for now. */
  async #renew(used) {
    if (this.#session?.access !== used) return;
    this.#renewal ??= insist(() => this.#alone(() => this.#refresh(used))).finally(() => (this.#renewal = undefined));
    await this.#renewal;
  }

  /** Exchanges the refresh token, which no other tab does at the same time. */
  async #refresh(used) {
    await this.#catchUp();
    const session = this.#session;
    if (!session || session.access !== used) return; // another tab has done it, or signed out
    const sent = Date.now();
    try {
      const form = { grant_type: "refresh_token", refresh_token: session.refresh };
      const tokens = readTokens(await this.#post("token", form), sent);
      await this.#accept({ ...tokens, begun: session.begun, number: session.number + 1 }, true);
    } catch (error) {
      if (error.status !== 400 || error.code !== "invalid_grant") throw error;
      this.#end(session.begun, reasons.get(error.detail) ?? "ended", true);
    }
  }

  /** Begins a session, whose begun is later than that of any other this tab knows. */
  async #begin(tokens) {
    const before = this.#session;
    const latest = Math.max(this.#ended, before?.begun ?? 0);
    this.#begunHere = Math.max(Date.now() + Math.random(), latest + 1);
    await this.#accept({ ...tokens, begun: this.#begunHere, number: 0 }, true);
    if (before) this.#drop(before.refresh);
  }

  /** Takes tokens that are newer than those of this tab, and tells the other tabs if it should. */
  async #accept(session, tell) {
    const before = this.#session;
    if (session.begun <= this.#ended || (before && !isNewer(session, before))) return;
    this.#session = session;
    this.#store();
    const held = this.#hold(session);
    if (tell) this.#tell({ type: "session", session });
    if (before?.begun !== session.begun) {
      if (before && before.begun === this.#begunHere && !tell) this.#drop(before.refresh); // two have signed in at once
      this.dispatchEvent(new CustomEvent("signedin"));
    }
    await held;
  }

  /** Ends the session that began then, and any before it. Later messages do not bring it back. */
  #end(begun, reason, tell) {
    this.#ended = Math.max(this.#ended, begun);
    if (tell) this.#tell({ type: "ended", begun, reason });
    if (!this.#session || this.#session.begun > begun) return;
    this.#session = undefined;
    this.#store();
    this.#stopHolding?.();
    this.dispatchEvent(new CustomEvent("signedout", { detail: { reason } }));
  }

  /** Keeps what a reload needs, or removes it. */
  #store() {
    const { begun, number, refresh } = this.#session ?? {};
    try {
      if (refresh) this.#storage?.setItem(this.#name, JSON.stringify({ begun, number, refresh }));
      if (!refresh) this.#storage?.removeItem(this.#name);
    } catch {} // the storage is full: only a reload will miss it
  }

  /** Returns the session of this tab before a reload, whose access token nobody has kept. */
  #restored() {
    const { begun, number, refresh } = parse(this.#storage?.getItem(this.#name)) ?? {};
    if (typeof refresh !== "string" || !(begun > 0 && number >= 0)) return undefined;
    return { begun, number, refresh, access: "", expires: 0, life: 0 };
  }

  // The other tabs. They share a channel and two kinds of locks. A tab that refreshes holds one alone.
  // The tabs that have the same tokens hold another together, whose name says how new these are: a
  // tab that gets the first lock sees there what a message may not have told it yet.

  /** Opens the channel, and asks the other tabs for their session. */
  #enter() {
    if (canShare()) {
      this.#channel = new BroadcastChannel(this.#name);
      this.#channel.onmessage = ({ data }) => this.#receive(data);
    }
    this.#ready = this.#join();
  }

  async #join() {
    if (this.#session) await this.#hold(this.#session); // it was in the back-forward cache
    this.#tell({ type: "ask" });
    await this.#catchUp();
    const restored = this.#session ? undefined : this.#restored();
    if (restored) await this.#accept(restored, false);
  }

  /**
   * Closes the channel, because a page with an open one cannot go into the back-forward cache. The
   * last tab to close ends a session that nobody could go on with.
   */
  #leave(mayReturn) {
    this.#tell({ type: "bye" });
    this.#channel?.close();
    this.#channel = undefined;
    this.#stopHolding?.();
    if (!mayReturn && this.#session && !this.#storage && this.#others.size === 0) this.#drop(this.#session.refresh);
    this.#others.clear();
  }

  #tell(message) {
    this.#channel?.postMessage({ ...message, from: this.#tab });
  }

  #receive({ type, from, session, begun, reason }) {
    if (type === "bye") return this.#others.delete(from);
    this.#others.add(from);
    if (type === "ask" && this.#session) this.#tell({ type: "session", session: this.#session });
    if (type === "session") this.#accept(session, false);
    if (type === "ended") this.#end(begun, reason, false);
    for (const arrive of this.#arrivals) arrive();
  }

  /**
   * Does some work while no other tab does any. The lock of a tab that closes or crashes is free
   * at once; that of one that is frozen has to be stolen.
   */
  async #alone(work) {
    if (!this.#channel) return work();
    let done;
    const request = (options) =>
      navigator.locks.request(this.#name, options, () => (done = work())).catch(() => {}); // done has the error of work
    await request({ signal: AbortSignal.timeout(lockTimeout) });
    if (!done) await request({ steal: true });
    return done ?? work();
  }

  /** Resolves once this tab knows of a session, if there is one. */
  async #know() {
    await this.#ready;
    if (!this.#session) await this.#catchUp();
  }

  /** Resolves once this tab has the newest tokens that others hold, or none of them answers. */
  async #catchUp() {
    const deadline = performance.now() + catchUpTimeout;
    while ((await this.#isBehind()) && performance.now() < deadline) {
      const arrival = new Promise((resolve) => this.#arrivals.add(resolve));
      this.#tell({ type: "ask" });
      await Promise.race([arrival, delay(500)]);
      this.#arrivals.clear();
    }
  }

  async #isBehind() {
    if (!this.#channel) return false;
    const { held } = await navigator.locks.query().catch(() => ({ held: [] })); // the page is being left
    return held.some(({ name }) => {
      if (!name.startsWith(this.#name + " ")) return false;
      const [begun, number] = name.slice(this.#name.length + 1).split(" ").map(Number);
      return begun > this.#ended && (!this.#session || isNewer({ begun, number }, this.#session));
    });
  }

  /** Shows the other tabs which tokens this one has. Resolves when they can see it. */
  async #hold(session) {
    if (!this.#channel) return;
    const { begun, number } = session;
    await new Promise((resolve) => {
      const hold = () => {
        resolve();
        if (this.#session !== session || !this.#channel) return undefined;
        this.#stopHolding?.();
        return new Promise((stop) => (this.#stopHolding = stop));
      };
      navigator.locks.request([this.#name, begun, number].join(" "), { mode: "shared" }, hold).catch(resolve);
    });
  }

  // The server.

  #at(path) {
    return new URL(path, this.#url);
  }

  /** Sends a form and returns the answer's JSON. */
  #post(path, form, init) {
    const body = new URLSearchParams(form);
    return ask((signal) => fetch(this.#at(path), { method: "POST", body, signal, ...init }));
  }

  /** Ends a session on the server, also while the page closes. */
  #revoke(refresh) {
    return this.#post("revoke", { token: refresh }, { keepalive: true });
  }

  /** Ends a session that nobody needs any more. If that fails, it expires by itself. */
  #drop(refresh) {
    this.#revoke(refresh).catch(() => {});
  }
}

// Where things are.

/** Returns the URL of a server's folder. */
function baseOf(url) {
  const base = new URL(url, globalThis.location?.href);
  if (!/^https?:$/.test(base.protocol)) throw new TypeError(`url is ${base.protocol}…; want the http or https URL of a Latchkey server`);
  base.search = base.hash = "";
  base.pathname = base.pathname.replace(/\/*$/, "/");
  return base.href;
}

function originOf(url) {
  const { origin } = new URL(url);
  if (origin === "null") throw new TypeError(`${url} has no origin; want one like https://api.example.com`);
  return origin;
}

/** Returns where tokens survive a reload, or undefined. Some browsers forbid it. */
function storageFor(persist) {
  if (persist !== "memory" && persist !== "session") throw new TypeError(`persist is ${persist}; want memory or session`);
  try {
    return persist === "session" ? globalThis.sessionStorage : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether tabs can share a session. Without Web Locks, which plain HTTP does not have but on
 * localhost, two tabs could use one refresh token twice; so each has a session of its own.
 */
function canShare() {
  return Boolean(globalThis.navigator?.locks && globalThis.BroadcastChannel && globalThis.origin !== "null");
}

/** Whether a has newer tokens than b: of a later session, or later ones of the same. */
function isNewer(a, b) {
  return a.begun > b.begun || (a.begun === b.begun && a.number > b.number);
}

// Requests.

function withToken(headers, session) {
  const copy = new Headers(headers);
  if (session) copy.set("Authorization", "Bearer " + session.access);
  return copy;
}

/** Calls fetch. It clones a Request, so that its body can be sent again. */
async function send(input, url, init) {
  const target = input instanceof Request ? input.clone() : url;
  try {
    return await fetch(target, init);
  } catch (error) {
    (init.signal ?? input.signal)?.throwIfAborted();
    throw unanswered(error);
  }
}

/** Sends a request again after a 429 or 503, if that is harmless and the wait is short. */
async function patiently(attempt, method = "GET", signal) {
  for (let tries = 1; ; tries++) {
    const answer = await attempt();
    const mayRepeat = answer.status === 429 || (answer.status === 503 && idempotent.has(method.toUpperCase()));
    const wait = retryAfter(answer) ?? 1;
    if (!mayRepeat || wait > maxWait || tries === maxTries) return answer;
    discard(answer);
    await within(delay(wait * 1000), signal);
  }
}

/**
 * Does something again if the server did not answer or had no time. A refresh whose answer was lost
 * must be sent again soon, because the server takes a late repetition for a theft.
 */
async function insist(work) {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      const wait = error.retryAfter ?? 1;
      if (![0, 429, 502, 503, 504].includes(error.status) || wait > maxWait || tries === maxTries) throw error;
      await delay(wait * 1000);
    }
  }
}

/** Returns the JSON of an answer, or throws a LatchkeyError, whatever the server answers, if at all. */
async function ask(request, timeout = answerTimeout) {
  let answer, text;
  try {
    answer = await request(AbortSignal.timeout(timeout));
    text = await readText(answer);
  } catch (error) {
    throw error instanceof LatchkeyError ? error : unanswered(error);
  }
  const body = parse(text);
  if (!answer.ok) throw refusal(answer, body);
  if (!body && answer.status !== 204) throw unexpected(answer.status);
  return body;
}

async function readUser(request, timeout) {
  const user = await ask(request, timeout);
  if (typeof user?.username !== "string") throw unexpected(200);
  return user;
}

/** Returns the tokens of an answer to a request that was sent then, by the clock of this machine. */
function readTokens(answer, sent) {
  const { access_token: access, refresh_token: refresh, expires_in } = answer ?? {};
  const life = expires_in * 1000;
  if (typeof access !== "string" || typeof refresh !== "string" || !(life > 0)) throw unexpected(200);
  return { access, refresh, life, expires: sent + life };
}

/** Returns the text of an answer, unless it is too large. */
async function readText(answer) {
  const reader = answer.body?.getReader();
  const chunks = [];
  for (let size = 0; reader; ) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    if ((size += value.length) > maxAnswer) {
      reader.cancel().catch(() => {});
      throw unexpected(answer.status);
    }
  }
  return new Blob(chunks).text();
}

/** Returns the object that a text is as JSON, or undefined. */
function parse(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value ? value : undefined;
  } catch {
    return undefined;
  }
}

function refusal(answer, body) {
  const { detail, error: code } = body ?? {};
  const text = Array.isArray(detail) ? detail.map((problem) => `${problem?.loc?.at?.(-1)}: ${problem?.msg}`).join("; ") : detail;
  return new LatchkeyError(`${answer.status} ${text ?? ""}`.trim(), { status: answer.status, code, detail, retryAfter: retryAfter(answer) });
}

function unexpected(status) {
  return new LatchkeyError(`${status}, but the answer is not Latchkey's; is url right?`, { status });
}

function unanswered(cause) {
  return new LatchkeyError("no answer from the server; is it running, and may this page call it (CORS_ORIGINS)?", { cause });
}

/** Returns the seconds that a Retry-After header names, also as a date (RFC 9110 §10.2.3). */
function retryAfter(answer) {
  const text = answer.headers.get("Retry-After");
  if (text === null) return undefined;
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, Math.ceil(seconds));
}

/** Frees the connection of an answer whose body nobody reads. */
function discard(answer) {
  answer.body?.cancel().catch(() => {});
}

function delay(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Does what AbortSignal.any does in younger browsers. */
function either(a, b) {
  if (!b) return a;
  const controller = new AbortController();
  for (const one of [a, b]) {
    const abort = () => controller.abort(one.reason);
    if (one.aborted) abort();
    one.addEventListener("abort", abort, { once: true, signal: controller.signal });
  }
  return controller.signal;
}

/** Settles as promise does, or rejects as soon as signal aborts. */
function within(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
