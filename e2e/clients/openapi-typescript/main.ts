import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const { BASE, NAME, PASSWORD } = process.env as Record<string, string>;
const username = NAME!, password = PASSWORD!;
const api = createClient<paths>({ baseUrl: BASE! });
const headers = { "Content-Type": "application/x-www-form-urlencoded" };

const user = await api.POST("/users/", { body: { username, password, full_name: "Test User" } });
assert.equal(user.data?.full_name, "Test User");

const wrong = await api.POST("/token", { body: { grant_type: "password", username, password: "wrong" }, headers });
assert.equal(wrong.response.status, 401);
assert.equal(wrong.error?.detail, "Incorrect username or password");

const login = await api.POST("/token", { body: { grant_type: "password", username, password }, headers });
assert(login.data);
const bearer = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } });
const me = await api.GET("/users/me/", bearer(login.data.access_token));
assert.equal(me.data?.username, username);

const refresh = await api.POST("/token", {
  body: { grant_type: "refresh_token", refresh_token: login.data.refresh_token }, headers,
});
assert(refresh.data);
const { access_token, refresh_token } = refresh.data;
const sessions = await api.GET("/users/me/sessions/", { ...bearer(access_token), params: { query: { limit: 10 } } });
assert.deepEqual(sessions.data?.map((session) => session.current), [true]);

const revoked = await api.POST("/revoke", { body: { token: refresh_token! }, headers });
assert.equal(revoked.response.status, 200);
const gone = await api.GET("/users/me/", bearer(access_token));
assert.equal(gone.response.status, 401);
