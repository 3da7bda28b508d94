import assert from "node:assert/strict";
import { createUser, loginForAccessToken, readSessions, readUsersMe, revokeToken } from "./api/index.js";
import { client } from "./api/client.gen.js";

const { BASE, NAME, PASSWORD } = process.env as Record<string, string>;
const username = NAME!, password = PASSWORD!;
client.setConfig({ baseUrl: BASE! });

const user = await createUser({ body: { username, password, full_name: "Test User" } });
assert.equal(user.data?.full_name, "Test User");

const wrong = await loginForAccessToken({ body: { grant_type: "password", username, password: "wrong" } });
assert.equal(wrong.response?.status, 401);
assert.equal(wrong.error?.detail, "Incorrect username or password");

const login = await loginForAccessToken({ body: { grant_type: "password", username, password } });
assert(login.data);
const me = await readUsersMe({ auth: login.data.access_token });
assert.equal(me.data?.username, username);

const refresh = await loginForAccessToken({
  body: { grant_type: "refresh_token", refresh_token: login.data.refresh_token },
});
assert(refresh.data);
const { access_token, refresh_token } = refresh.data;
const sessions = await readSessions({ auth: access_token, query: { limit: 10 } });
assert.deepEqual(sessions.data?.map((session) => session.current), [true]);

const revoked = await revokeToken({ body: { token: refresh_token! } });
assert.deepEqual(revoked.data, {});
const gone = await readUsersMe({ auth: access_token });
assert.equal(gone.response?.status, 401);
