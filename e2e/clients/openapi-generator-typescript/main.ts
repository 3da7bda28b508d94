import assert from "node:assert/strict";
import { Configuration, ResponseError, SessionsApi, TokensApi, UsersApi } from "./api/index.js";

const { BASE, NAME, PASSWORD } = process.env as Record<string, string>;
const username = NAME!, password = PASSWORD!;
const anonymous = new Configuration({ basePath: BASE! });
const signedIn = (accessToken: string) => new Configuration({ basePath: BASE!, accessToken });
const status = (code: number) => (error: unknown) => error instanceof ResponseError && error.response.status === code;
const tokens = new TokensApi(anonymous);

const user = await new UsersApi(anonymous).createUser({ userCreate: { username, password, fullName: "Test User" } });
assert.equal(user.fullName, "Test User");

await assert.rejects(tokens.loginForAccessToken({ grantType: "password", username, password: "wrong" }), status(401));

const login = await tokens.loginForAccessToken({ grantType: "password", username, password });
const me = await new UsersApi(signedIn(login.accessToken)).readUsersMe();
assert.equal(me.username, username);

const refresh = await tokens.loginForAccessToken({ grantType: "refresh_token", refreshToken: login.refreshToken });
const sessions = await new SessionsApi(signedIn(refresh.accessToken)).readSessions({ limit: 10 });
assert.deepEqual(sessions.map((session) => [session.current, session.createdAt instanceof Date]), [[true, true]]);

await tokens.revokeToken({ token: refresh.refreshToken! });
await assert.rejects(new UsersApi(signedIn(refresh.accessToken)).readUsersMe(), status(401));
