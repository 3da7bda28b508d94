// jsonwebtoken with jwks-rsa, and oauth4webapi, verify tokens.
import assert from "node:assert/strict";
import jwt from "jsonwebtoken";
import { JwksClient } from "jwks-rsa";
import * as oauth from "oauth4webapi";

const { ISSUER, AUDIENCE, TOKEN, BAD } = process.env;

const keys = new JwksClient({ jwksUri: ISSUER + "/.well-known/jwks.json" });
const find = (header, found) => keys.getSigningKey(header.kid).then((key) => found(null, key.getPublicKey()), found);
const wanted = { algorithms: ["ES256"], issuer: ISSUER, audience: AUDIENCE };
const withJsonwebtoken = (token) => new Promise((resolve, reject) =>
  jwt.verify(token, find, wanted, (error, claims) => error ? reject(error) : resolve(claims)));

const options = { [oauth.allowInsecureRequests]: true }; // the test's server is on loopback, without TLS
const discovery = await oauth.discoveryRequest(new URL(ISSUER), { ...options, algorithm: "oauth2" });
const server = await oauth.processDiscoveryResponse(new URL(ISSUER), discovery);
assert.equal(server.authorization_endpoint, undefined);

assert.equal((await withJsonwebtoken(TOKEN)).scope, "read");
for (const bad of BAD.split(" ")) await assert.rejects(withJsonwebtoken(bad), undefined, bad);
