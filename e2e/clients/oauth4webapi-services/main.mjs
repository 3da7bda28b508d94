// oauth4webapi gets a token with an API key, asks about it, and revokes a login's.
import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";

const { ISSUER, KEY_ID, KEY, INTROSPECTOR_ID, INTROSPECTOR_KEY, TOKEN } = process.env;
const options = { [oauth.allowInsecureRequests]: true }; // the test's server is on loopback, without TLS
const discovery = await oauth.discoveryRequest(new URL(ISSUER), { ...options, algorithm: "oauth2" });
const server = await oauth.processDiscoveryResponse(new URL(ISSUER), discovery);

for (const how of [oauth.ClientSecretBasic, oauth.ClientSecretPost]) {
  const job = { client_id: KEY_ID };
  const response = await oauth.clientCredentialsGrantRequest(server, job, how(KEY), { scope: "read" }, options);
  const tokens = await oauth.processClientCredentialsResponse(server, job, response);
  assert.equal(tokens.scope, "read");

  const introspector = { client_id: INTROSPECTOR_ID };
  const ask = async (token) => oauth.processIntrospectionResponse(server, introspector,
    await oauth.introspectionRequest(server, introspector, how(INTROSPECTOR_KEY), token, options));
  assert.equal((await ask(tokens.access_token)).active, true);
  assert.equal((await ask(KEY)).active, true);
  assert.deepEqual(await ask("garbage"), { active: false });
}

const app = { client_id: "app" };
await oauth.processRevocationResponse(await oauth.revocationRequest(server, app, oauth.None(), TOKEN, options));
const me = oauth.protectedResourceRequest(TOKEN, "GET", new URL(ISSUER + "/users/me/"), undefined, undefined, options);
await assert.rejects(me, oauth.WWWAuthenticateChallengeError);
