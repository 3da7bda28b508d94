import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";

const { BASE, NAME, PASSWORD } = process.env as Record<string, string>;
const server: oauth.AuthorizationServer = {
  issuer: BASE!, token_endpoint: BASE + "/token", revocation_endpoint: BASE + "/revoke",
};
const client: oauth.Client = { client_id: "app" };
const options = { [oauth.allowInsecureRequests]: true }; // the test's server is on loopback, without TLS
const logIn = (password: string) => oauth.genericTokenEndpointRequest(
  server, client, oauth.None(), "password", { username: NAME!, password, scope: "read" }, options);

// A 401 has a challenge (RFC 6750 §3), which the library throws before it reads the
// error in the body: what it knows is the status.
const wrong = oauth.processGenericTokenEndpointResponse(server, client, await logIn("wrong"));
await assert.rejects(wrong, (error) => error instanceof oauth.WWWAuthenticateChallengeError && error.status === 401);

const login = await oauth.processGenericTokenEndpointResponse(server, client, await logIn(PASSWORD!));
const refreshed = await oauth.processRefreshTokenResponse(
  server, client, await oauth.refreshTokenGrantRequest(server, client, oauth.None(), login.refresh_token!, options));
assert.notEqual(refreshed.refresh_token, login.refresh_token);

const me = () => oauth.protectedResourceRequest(
  refreshed.access_token, "GET", new URL(BASE + "/users/me/"), undefined, undefined, options);
assert.equal((await (await me()).json()).username, NAME);

const revocation = await oauth.revocationRequest(server, client, oauth.None(), refreshed.refresh_token!, options);
await oauth.processRevocationResponse(revocation);
await assert.rejects(me(), oauth.WWWAuthenticateChallengeError);
