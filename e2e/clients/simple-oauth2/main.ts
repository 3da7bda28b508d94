import assert from "node:assert/strict";
import { ResourceOwnerPassword } from "simple-oauth2";

const { BASE, NAME, PASSWORD } = process.env as Record<string, string>;
const client = new ResourceOwnerPassword({
  client: { id: "app", secret: "" },
  auth: { tokenHost: BASE!, tokenPath: "/token", revokePath: "/revoke" },
});
await assert.rejects(client.getToken({ username: NAME!, password: "wrong" }), /401 Unauthorized/);

const login = await client.getToken({ username: NAME!, password: PASSWORD!, scope: "read" });
const status = async (token: unknown) =>
  (await fetch(BASE + "/users/me/", { headers: { Authorization: `Bearer ${token}` } })).status;
assert.equal(await status(login.token.access_token), 200);

const refreshed = await login.refresh();
assert.notEqual(refreshed.token.refresh_token, login.token.refresh_token);
await refreshed.revokeAll();
assert.equal(await status(refreshed.token.access_token), 401);
