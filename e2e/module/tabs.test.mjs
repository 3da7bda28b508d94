// What several tabs do with one session, and what becomes of it when they close.

import assert from "node:assert/strict";
import { test } from "node:test";
import { count, expire, openBrowser, openTab, refreshes, startServer, until } from "./world.mjs";

const kim = { username: "kim", password: "s3cret" };
const lee = { username: "lee", password: "s3cret" };

/** Opens tabs of a server, and signs kim in in the first. */
async function openTabs(t, n, { script, options, ...browserOptions } = {}) {
  const server = await startServer(t, script);
  const browser = openBrowser(t, browserOptions);
  const open = (storage, more) => openTab(browser, { url: server.url, ...options, ...more }, storage);
  const tabs = [open()];
  await tabs[0].latchkey.login(kim);
  while (tabs.length < n) tabs.push(open());
  return { server, browser, tabs, open };
}

const whoAreThey = (tabs) => Promise.all(tabs.map(async ({ latchkey }) => (await latchkey.me().catch((error) => error)).username));
const fetchAll = (tabs) => Promise.all(tabs.map(async ({ latchkey }) => (await latchkey.fetch("x")).status));

test("a new tab has the session of the others", async (t) => {
  const { server, tabs } = await openTabs(t, 3);
  assert.deepEqual(await whoAreThey(tabs), ["kim", "kim", "kim"]);
  assert.deepEqual(tabs.map(({ events }) => events), [["signedin"], ["signedin"], ["signedin"]]);
  assert.deepEqual([refreshes(server), tabs[2].storage.texts.size], [0, 0]);
});

test("tabs learn that nobody is signed in, and do not ask the server", async (t) => {
  const server = await startServer(t);
  const browser = openBrowser(t);
  const tabs = [openTab(browser, { url: server.url }), openTab(browser, { url: server.url })];
  for (const { latchkey } of tabs) await assert.rejects(latchkey.me(), { name: "LatchkeyError", status: 401 });
  assert.equal(server.requests.length, 0);
});

test("tabs that refresh together never use a token twice", async (t) => {
  const { server, tabs } = await openTabs(t, 5);
  for (let round = 1; round <= 100; round++) {
    expire(server);
    assert.deepEqual(await fetchAll(tabs), [200, 200, 200, 200, 200]);
    assert.deepEqual([refreshes(server), server.reused], [round, 0]);
  }
});

test("a login in one tab is one in every tab, and ends the session before", async (t) => {
  const { server, tabs } = await openTabs(t, 3);
  await whoAreThey(tabs);
  await tabs[1].latchkey.login(lee);
  await until(() => tabs.every(({ events }) => events.length === 2));
  assert.deepEqual(await whoAreThey(tabs), ["lee", "lee", "lee"]);
  await until(() => server.sessions.size === 1);
});

test("of two logins at once all tabs take the same, and the other ends", async (t) => {
  const { server, tabs } = await openTabs(t, 3);
  await whoAreThey(tabs);
  await Promise.all([tabs[1].latchkey.login(lee), tabs[2].latchkey.login(kim)]);
  await until(() => server.sessions.size === 1);
  const [name] = await whoAreThey(tabs);
  assert.deepEqual(await whoAreThey(tabs), [name, name, name]);
});

test("a request of one user is not repeated as another", async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const script = async ({ path }) => void (path === "/slow" && (await held));
  const { server, tabs } = await openTabs(t, 2, { script });
  await whoAreThey(tabs);
  const answer = tabs[0].latchkey.fetch("slow", { method: "POST", body: "pay" });
  await until(() => count(server, "/slow") === 1);
  await tabs[1].latchkey.login(lee);
  await until(() => server.sessions.size === 1 && tabs[0].events.length === 2);
  release();
  assert.equal((await answer).status, 401);
  assert.equal(count(server, "/slow"), 1);
});

test("a logout is one in every tab", async (t) => {
  const { server, tabs } = await openTabs(t, 3);
  await whoAreThey(tabs);
  await tabs[1].latchkey.logout();
  await until(() => tabs.every(({ events }) => events.length === 2));
  assert.deepEqual(tabs.map(({ events }) => events[1]), ["logout", "logout", "logout"]);
  assert.deepEqual(await fetchAll(tabs), [401, 401, 401]);
  assert.equal(server.sessions.size, 0);
});

test("a logout during a refresh in another tab is final", async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const { server, tabs } = await openTabs(t, 2, { script: async ({ body }) => void (body.includes("refresh_token=") && (await held)) });
  await whoAreThey(tabs);
  expire(server);
  const answer = tabs[0].latchkey.fetch("x");
  await until(() => refreshes(server) === 1);
  await tabs[1].latchkey.logout();
  release();
  assert.equal((await answer).status, 401);
  assert.deepEqual(tabs.map(({ events }) => events), [["signedin", "logout"], ["signedin", "logout"]]);
});

for (const [refusal, reason] of [
  ["the session has ended", "ended"],
  ["refresh token expired", "expired"],
  ["refresh token already used; the session has ended", "reused"],
  ["refresh token not valid", "ended"],
]) {
  test(`every tab is told that the session has ended, because ${refusal}`, async (t) => {
    const { server, tabs } = await openTabs(t, 3);
    await whoAreThey(tabs);
    server.sessions.clear();
    server.refusal = refusal;
    assert.deepEqual(await fetchAll(tabs), [401, 401, 401]);
    assert.deepEqual(tabs.map(({ events }) => events), Array(3).fill(["signedin", reason]));
    await tabs[0].latchkey.login(lee);
    assert.deepEqual(await whoAreThey(tabs), ["lee", "lee", "lee"]);
  });
}

test("without locks each tab has a session of its own", async (t) => {
  const { server, tabs } = await openTabs(t, 2, { hasLocks: false });
  assert.deepEqual(await whoAreThey(tabs), ["kim", undefined]);
  await tabs[1].latchkey.login(lee);
  expire(server);
  assert.deepEqual(await whoAreThey(tabs), ["kim", "lee"]);
  await tabs[0].latchkey.logout();
  assert.deepEqual(await whoAreThey(tabs), [undefined, "lee"]);
});

test("a tab that is frozen while it refreshes stops nobody for long", async (t) => {
  const { server, browser, tabs } = await openTabs(t, 2, { speed: 20 });
  await whoAreThey(tabs);
  expire(server);
  const name = "latchkey 1 " + server.url;
  browser.locks.request(name, {}, () => new Promise(() => {})).catch(() => {});
  assert.equal((await tabs[1].latchkey.fetch("x")).status, 200);
  assert.equal((await tabs[0].latchkey.fetch("x")).status, 200);
  assert.equal(refreshes(server), 1);
});

test("a tab that has newer tokens and does not say so stops nobody for long", async (t) => {
  const { server, browser, tabs } = await openTabs(t, 1);
  expire(server);
  const held = (await browser.locks.query()).held.find(({ mode }) => mode === "shared");
  browser.locks.request(held.name.replace(/0$/, "1"), { mode: "shared" }, () => new Promise(() => {}));
  assert.equal((await tabs[0].latchkey.fetch("x")).status, 200);
});

for (const [name, options, closing, want] of [
  ["the last tab that closes ends a session that is nowhere else", {}, [[0, false]], 0],
  ["one that may come back does not", {}, [[0, true]], 1],
  ["one that can be reloaded does not", { persist: "session" }, [[0, false]], 1],
  ["one that leaves another does not", { tabs: 2 }, [[0, false]], 1],
  ["the last of two does", { tabs: 2 }, [[0, false], [1, false]], 0],
]) {
  test(name, async (t) => {
    const { server, tabs } = await openTabs(t, options.tabs ?? 1, { options: { persist: options.persist } });
    await whoAreThey(tabs);
    for (const [n, persisted] of closing) {
      tabs[n].close(persisted);
      await new Promise((resolve) => setTimeout(resolve, 50)); // for the others to hear of it, and for what must not happen
    }
    assert.equal(server.sessions.size, want);
  });
}

test("a tab that comes back has the session, and hears what it has missed", async (t) => {
  const { tabs } = await openTabs(t, 2);
  await whoAreThey(tabs);
  tabs[0].close(true);
  tabs[0].comeBack();
  assert.deepEqual(await whoAreThey(tabs), ["kim", "kim"]);
  tabs[0].close(true);
  await tabs[1].latchkey.login(lee);
  tabs[0].comeBack();
  assert.deepEqual(await whoAreThey(tabs), ["lee", "lee"]);
  tabs[0].close(true);
  await tabs[1].latchkey.logout();
  tabs[0].comeBack();
  assert.equal((await tabs[0].latchkey.fetch("x")).status, 401);
  assert.deepEqual(tabs[0].events, ["signedin", "signedin", "ended"]);
});

test("with persist a reload goes on, and keeps no access token", async (t) => {
  const { server, tabs, open } = await openTabs(t, 1, { options: { persist: "session" } });
  for (let n = 1; n <= 3; n++) {
    const { storage } = tabs.at(-1);
    assert.doesNotMatch([...storage.texts.values()].join(), /access/);
    tabs.at(-1).close();
    tabs.push(open(storage));
    assert.equal((await tabs.at(-1).latchkey.me()).username, "kim");
    assert.equal(refreshes(server), n);
  }
  await tabs.at(-1).latchkey.logout();
  assert.equal(tabs.at(-1).storage.texts.size, 0);
});

test("tabs that a browser restores all at once share one refresh", async (t) => {
  const { server, tabs, open } = await openTabs(t, 3, { options: { persist: "session" } });
  await whoAreThey(tabs);
  const storages = tabs.map(({ storage }) => storage);
  for (const tab of tabs) tab.close();
  const restored = storages.map((storage) => open(storage));
  assert.deepEqual(await whoAreThey(restored), ["kim", "kim", "kim"]);
  assert.deepEqual([refreshes(server), server.reused], [1, 0]);
});

for (const [name, storage] of [
  ["that is full", { getItem: () => null, removeItem: () => {}, setItem: () => { throw new Error("full"); } }],
  ["with something else in it", { getItem: () => "[1", removeItem: () => {}, setItem: () => {} }],
  ["with JSON of another kind in it", { getItem: () => '{"refresh":{},"begun":"x"}', removeItem: () => {}, setItem: () => {} }],
]) {
  test(`a storage ${name} does no harm`, async (t) => {
    const server = await startServer(t);
    const { latchkey } = openTab(openBrowser(t), { url: server.url, persist: "session" }, storage);
    await latchkey.login(kim);
    assert.equal((await latchkey.me()).username, "kim");
  });
}
