// openid-client finds the server by its issuer. It gets a token with an API key, asks about it
// with another, and gets none when the key is wrong.
import assert from "node:assert/strict";
import * as client from "openid-client";

const { ISSUER, KEY_ID, KEY, INTROSPECTOR_ID, INTROSPECTOR_KEY } = process.env;
const options = { execute: [client.allowInsecureRequests], algorithm: "oauth2" }; // loopback, without TLS
const discover = (id, key, how) => client.discovery(new URL(ISSUER), id, undefined, how(key), options);

for (const how of [client.ClientSecretBasic, client.ClientSecretPost]) {
  const job = await discover(KEY_ID, KEY, how);
  const tokens = await client.clientCredentialsGrant(job, { scope: "read" });
  assert.equal(tokens.token_type, "bearer");
  assert.equal(tokens.scope, "read");
  assert.equal(tokens.refresh_token, undefined);

  const introspector = await discover(INTROSPECTOR_ID, INTROSPECTOR_KEY, how);
  const known = await client.tokenIntrospection(introspector, tokens.access_token);
  assert.equal(known.active, true);
  assert.equal(known.scope, "read");
  assert.equal(known.client_id, KEY_ID);
  assert.deepEqual(await client.tokenIntrospection(introspector, "garbage"), { active: false });
  await assert.rejects(client.tokenIntrospection(job, tokens.access_token), undefined, "any key may ask");

  const wrong = await discover(KEY_ID, KEY.slice(0, -1) + (KEY.endsWith("A") ? "B" : "A"), how);
  await assert.rejects(client.clientCredentialsGrant(wrong), (error) => error.status === 401 || error.cause?.status === 401);
}
