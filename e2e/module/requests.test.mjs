// What one tab sends, and what it makes of the answers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Latchkey, LatchkeyError, count, expire, openBrowser, openTab, refreshes, startServer, until } from "./world.mjs";

const kim = { username: "kim", password: "s3cret" };

async function signIn(t, script, options) {
  const server = await startServer(t, script);
  const browser = openBrowser(t);
  const tab = openTab(browser, { url: server.url, ...options });
  await tab.latchkey.login(kim);
  return { server, browser, tab, latchkey: tab.latchkey };
}

const problem = (promise) => promise.then(() => assert.fail("no error"), (error) => error);

for (const [name, options, want] of [
  ["a url of another scheme", { url: "ftp://login.example.com" }, /ftp:.*want the http or https URL/],
  ["a persist that there is not", { url: "http://h/", persist: "local" }, /persist is local; want memory or session/],
  ["an origin that is none", { url: "http://h/", origins: ["data:,x"] }, /data:,x has no origin/],
]) {
  test(name + " is refused at once", () => assert.throws(() => new Latchkey(options), want));
}

for (const [name, method, answers, tries] of [
  ["a 503 is waited for", "GET", [[503, 0]], 2],
  ["two of them are", "GET", [[503, 0], [503, 0]], 3],
  ["a third is the answer", "GET", [[503, 0], [503, 0], [503, 0]], 3],
  ["one without Retry-After is waited for", "GET", [[503]], 2],
  ["one that names a time that has passed is", "GET", [[503, "Wed, 21 Oct 2015 07:28:00 GMT"]], 2],
  ["one that makes no sense is", "GET", [[503, "soon"]], 2],
  ["one for eleven seconds is the answer", "GET", [[503, 11]], 1],
  ["a change after which nobody knows is not repeated", "POST", [[503, 0]], 1],
  ["one that a change may repeat is", "DELETE", [[503, 0]], 2],
  ["a 429 is waited for, whatever the method", "POST", [[429, 0]], 2],
  ["a 429 for an hour is the answer", "POST", [[429, 3600]], 1],
  ["a 500 is the answer", "GET", [[500]], 1],
]) {
  test(name, async (t) => {
    const left = [...answers];
    const { server, latchkey } = await signIn(t, ({ path }) => {
      if (path !== "/x" || left.length === 0) return undefined;
      const [status, wait] = left.shift();
      return [status, wait === undefined ? {} : { "Retry-After": wait }, "no"];
    });
    const answer = await latchkey.fetch("x", { method });
    assert.equal(answer.status, tries > answers.length ? 200 : answers.at(-1)[0]);
    assert.equal(count(server, "/x"), tries);
  });
}

const bytes = new TextEncoder().encode("body");
for (const [name, send, tries] of [
  ["text", (l) => l.fetch("x", { method: "POST", body: "body" }), 2],
  ["a form", (l) => l.fetch("x", { method: "POST", body: new URLSearchParams({ body: "body" }) }), 2],
  ["a file", (l) => l.fetch("x", { method: "POST", body: new Blob([bytes]) }), 2],
  ["bytes", (l) => l.fetch("x", { method: "POST", body: bytes }), 2],
  ["a Request", (l, url) => l.fetch(new Request(url + "x", { method: "POST", body: "body" })), 2],
  ["a stream", (l) => l.fetch("x", { method: "POST", body: new Blob([bytes]).stream(), duplex: "half" }), 1],
]) {
  test(`after a 401, ${name} is sent ${tries === 2 ? "again" : "only once"}`, async (t) => {
    const { server, latchkey } = await signIn(t);
    expire(server);
    const answer = await send(latchkey, server.url);
    assert.equal(answer.status, tries === 2 ? 200 : 401);
    assert.deepEqual([count(server, "/x", "body"), refreshes(server)], [tries, 1]);
    assert.equal((await latchkey.fetch("x")).status, 200);
  });
}

for (const [name, answer, want] of [
  ["an object", [200, {}, '{"a":1}'], { a: 1 }],
  ["a list", [200, {}, "[1]"], [1]],
  ["nothing, by a 204", [204, {}, ""], undefined],
]) {
  test(`json returns ${name}`, async (t) => {
    const { latchkey } = await signIn(t, ({ path }) => (path === "/x" ? answer : undefined));
    assert.deepEqual(await latchkey.json("x"), want);
  });
}

for (const [name, answer, status, detail] of [
  ["a refusal", [404, {}, { detail: "Not Found" }], 404, "Not Found"],
  ["a refusal in HTML", [404, {}, "<p>no"], 404, undefined],
  ["HTML", [200, {}, "<!doctype html>"], 200, undefined],
  ["a number", [200, {}, "7"], 200, undefined],
  ["nothing, by a 200", [200, {}, ""], 200, undefined],
  ["a refusal that makes no sense", [422, {}, { detail: [null, {}] }], 422, [null, {}]],
  ["too much", [200, {}, JSON.stringify("x".repeat(2 << 20))], 200, undefined],
]) {
  test(`json rejects after ${name}`, async (t) => {
    const { latchkey } = await signIn(t, ({ path }) => (path === "/x" ? answer : undefined));
    const error = await problem(latchkey.json("x"));
    assert.deepEqual([error instanceof LatchkeyError, error.status, error.detail], [true, status, detail]);
  });
}

for (const [name, send] of [
  ["", (l, url, signal) => l.json("x", { signal })],
  [" by the signal of a Request", (l, url, signal) => l.json(new Request(url + "x", { signal }))],
]) {
  test(`json is given up when the caller aborts${name}`, async (t) => {
    const { server, latchkey } = await signIn(t, ({ path }) => (path === "/x" ? new Promise(() => {}) : undefined));
    const caller = new AbortController();
    const rejected = problem(send(latchkey, server.url, caller.signal));
    await until(() => count(server, "/x") === 1);
    caller.abort(new Error("enough"));
    assert.equal((await rejected).message, "enough");
  });
}

test("json sends nothing for a caller that has aborted", async (t) => {
  const { server, latchkey } = await signIn(t);
  expire(server);
  const error = await problem(latchkey.json("x", { signal: AbortSignal.abort(new Error("enough")) }));
  assert.deepEqual([error.message, count(server, "/x")], ["enough", 0]);
});

test("json sends a token that has expired again, refreshed", async (t) => {
  const { server, latchkey } = await signIn(t);
  expire(server);
  assert.equal((await latchkey.json("x", { method: "POST", body: "y" })).body, "y");
  assert.equal(refreshes(server), 1);
});

test("requests that fail together share one refresh", async (t) => {
  const { server, latchkey } = await signIn(t);
  expire(server);
  const answers = await Promise.all(Array.from({ length: 10 }, () => latchkey.fetch("users/me/")));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  assert.equal(refreshes(server), 1);
});

test("a 401 that a refresh does not cure is the answer", async (t) => {
  const { server, latchkey } = await signIn(t, ({ path }) => (path === "/x" ? [401, {}, "no"] : undefined));
  assert.equal((await latchkey.fetch("x")).status, 401);
  assert.deepEqual([count(server, "/x"), refreshes(server), latchkey.signedIn], [2, 1, true]);
});

for (const [name, ahead, refreshed, refused] of [
  ["that is new is used", 0, 0, 0],
  ["with 31 seconds left is used", 1769, 0, 0],
  ["with 29 seconds left is used, and refreshed meanwhile", 1771, 1, 0],
  ["that has expired is refreshed first", 1801, 1, 0],
  ["from before the clock was set forward is refreshed first", 1e9, 1, 0],
  ["from before the clock was set back is used, until the server refuses it", -1e9, 1, 1],
]) {
  test("a token " + name, async (t) => {
    let refusals = 0;
    const server = await startServer(t);
    const browser = openBrowser(t);
    const { latchkey } = openTab(browser, { url: server.url });
    await latchkey.login(kim);
    if (refused || ahead > 1800) expire(server);
    browser.ahead = ahead * 1000;
    assert.equal((await latchkey.fetch("x")).status, 200);
    if (refreshed) await until(() => refreshes(server) === 1);
    refusals = count(server, "/x") - 1;
    assert.deepEqual([refreshes(server), refusals], [refreshed, refused]);
  });
}

test("a clock that is wrong all the time changes nothing", async (t) => {
  const server = await startServer(t);
  const browser = openBrowser(t);
  browser.ahead = -50 * 365 * 86400_000;
  const { latchkey } = openTab(browser, { url: server.url });
  await latchkey.login(kim);
  assert.equal((await latchkey.fetch("x")).status, 200);
  assert.equal(refreshes(server), 0);
});

test("the token goes to url and to options.origins, and to no other", async (t) => {
  const [listed, other] = [await startServer(t, () => [200, {}, ""]), await startServer(t)];
  const redirect = ({ path }) => (path === "/away" ? [307, { Location: other.url + "away" }, ""] : undefined);
  const { server, latchkey } = await signIn(t, redirect, { origins: [listed.url + "some/path"] });
  await latchkey.fetch(listed.url + "x");
  await latchkey.fetch(other.url + "x");
  await latchkey.fetch("away");
  await latchkey.fetch("x", { headers: { Authorization: "Basic eA==" } });
  const tokens = ({ requests }) => requests.map(({ path, token }) => `${path} ${token?.slice(0, 14)}`);
  assert.deepEqual(tokens(listed), ["/x Bearer access-"]);
  assert.deepEqual(tokens(other), ["/x undefined", "/away undefined", "/away undefined"]);
  assert.deepEqual(tokens(server).slice(-2), ["/away Bearer access-", "/x Basic eA=="]);
});

for (const [name, answer, want] of [
  ["HTML", [200, { "Content-Type": "text/html" }, "<p>Sign in to the Wi-Fi"], { status: 200 }],
  ["HTML with a status", [502, {}, "<h1>Bad Gateway"], { status: 502, message: "502" }],
  ["10 MB", [200, {}, `"${"a".repeat(10 << 20)}"`], { status: 200 }],
  ["an array", [200, {}, "[]"], { status: 200 }],
  ["null", [200, {}, "null"], { status: 200 }],
  ["nothing", [200, {}, ""], { status: 200 }],
  ["JSON without what is in it", [200, {}, "{}"], { status: 200 }],
  ["a token that lives for no time", [200, {}, { access_token: "a", refresh_token: "b", expires_in: 0, username: 1 }], { status: 200 }],
  ["the beginning of an answer", "cut", { status: 0 }],
  ["bytes without end, slowly", "endless", { status: 0 }],
  ["nothing, for ever", "silent", { status: 0 }],
  ["a wait", [429, { "Retry-After": "40" }, { detail: "Too Many Requests", error: "temporarily_unavailable" }],
    { status: 429, code: "temporarily_unavailable", detail: "Too Many Requests", retryAfter: 40 }],
]) {
  test(`a server that answers with ${name} leaves the object usable`, async (t) => {
    let isHostile = false;
    const { server, browser, tab, latchkey } = await signIn(t, (_, response) => (isHostile ? play(answer, response) : undefined));
    isHostile = true;
    if (["endless", "silent"].includes(answer)) browser.speed = 60;
    const doings = { login: () => latchkey.login(kim), me: () => latchkey.me(), register: () => latchkey.register(kim) };
    for (const [doing, run] of Object.entries(doings)) {
      const error = await problem(run());
      assert(error instanceof LatchkeyError, `${doing}: ${error.stack}`);
      for (const [member, value] of Object.entries(want)) assert.equal(error[member], value, `${doing}: ${member}`);
      assert.doesNotMatch(JSON.stringify([error, error.message]), /access-|s3cret/);
    }
    isHostile = false;
    browser.speed = 1;
    expire(server);
    assert.equal((await latchkey.me()).username, "kim");
    assert.deepEqual(tab.events, ["signedin"]);
  });
}

async function play(answer, response) {
  if (Array.isArray(answer)) return answer;
  if (answer === "cut") {
    response.writeHead(200, { "Content-Length": 100 }).write('{"user');
    setTimeout(() => response.destroy(), 10);
  }
  if (answer === "endless") {
    response.writeHead(200);
    const timer = setInterval(() => response.write(" "), 20);
    response.on("close", () => clearInterval(timer));
  }
  await new Promise((resolve) => response.on("close", resolve));
  return [200, {}, ""];
}

test("a refresh whose answer is lost is sent again", async (t) => {
  let lost = 0;
  const { server, latchkey } = await signIn(t, ({ body }, response) => {
    if (!body.includes("refresh_token") || lost++ > 0) return undefined;
    for (const session of server.sessions.values()) session.number++; // it has happened
    response.destroy();
    return [200, {}, ""];
  });
  server.grace = true;
  expire(server);
  assert.equal((await latchkey.me()).username, "kim");
  assert.deepEqual([refreshes(server), server.reused], [2, 0]);
});

test("a refresh that the server has no time for is an error, and no end", async (t) => {
  const { server, tab, latchkey } = await signIn(t, ({ body }) =>
    body.includes("refresh_token") ? [503, { "Retry-After": 0 }, { detail: "Service Unavailable" }] : undefined);
  expire(server);
  assert.equal((await problem(latchkey.fetch("x"))).status, 503);
  assert.deepEqual([refreshes(server), latchkey.signedIn, tab.events.length], [3, true, 1]);
});

test("a caller that aborts stops waiting, and the others do not", async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const { server, latchkey } = await signIn(t, async ({ body }) => void (body.includes("refresh_token") && (await held)));
  expire(server);
  const stop = new AbortController();
  const [one, other] = [latchkey.fetch("x", { signal: stop.signal }), latchkey.fetch("x")];
  await until(() => refreshes(server) === 1);
  stop.abort(new Error("enough"));
  assert.equal((await problem(one)).message, "enough");
  release();
  assert.equal((await other).status, 200);
});

test("a wait for Retry-After ends when the caller aborts", async (t) => {
  const { server, latchkey } = await signIn(t, ({ path }) => (path === "/x" ? [503, { "Retry-After": 9 }, ""] : undefined));
  const stop = new AbortController();
  const waiting = latchkey.fetch("x", { signal: stop.signal });
  await until(() => count(server, "/x") === 1);
  stop.abort();
  assert.equal((await problem(waiting)).name, "AbortError");
});

test("a login that fails after the password was right leaves nobody signed in, and no session", async (t) => {
  const { server, tab, latchkey } = await signIn(t, ({ path, token }) =>
    path === "/users/me/" && token?.includes("-1-") ? [500, {}, "no"] : undefined);
  assert.equal((await problem(latchkey.login({ ...kim, username: "eve" }))).status, 500);
  await until(() => server.sessions.size === 1);
  assert.equal((await latchkey.me()).username, "kim");
  assert.deepEqual(tab.events, ["signedin"]);
});

for (const [name, otp, want] of [["no code", {}, null], ["an empty code", { otp: "" }, ""], ["a code", { otp: "123456" }, "123456"]]) {
  test(`a login with ${name} says so`, async (t) => {
    const { server, latchkey } = await signIn(t);
    await latchkey.login({ ...kim, ...otp });
    assert.equal(new URLSearchParams(server.requests.filter(({ path }) => path === "/token").at(-1).body).get("otp"), want);
  });
}
