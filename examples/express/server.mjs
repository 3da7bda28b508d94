// Notes, a service that verifies Latchkey's access tokens itself.
//
//     npm install express jose
//     ISSUER=https://auth.example AUDIENCE=notes PORT=9000 node server.mjs
import express from "express";
import { createRemoteJWKSet, jwtVerify } from "jose";

const { ISSUER, AUDIENCE, PORT } = process.env;
const keys = createRemoteJWKSet(new URL(ISSUER + "/.well-known/jwks.json"));
const wanted = { issuer: ISSUER, audience: AUDIENCE, algorithms: ["ES256"], requiredClaims: ["exp", "uid"] };

// Other errors of jose, and of fetch, mean that the keys could not be fetched.
const badToken = /^ERR_(JW[ST]_|JWKS_NO_MATCHING_KEY|JOSE_(ALG_NOT_ALLOWED|NOT_SUPPORTED))/;

function refuse(res, status, detail, challenge) {
  if (challenge) res.set("WWW-Authenticate", challenge);
  res.status(status).json({ detail });
}

/** needs lets a request pass if its token is good and has the scope. The claims are req.user. */
function needs(scope) {
  return async (req, res, next) => {
    const token = /^Bearer +([^ ]+)$/i.exec(req.get("Authorization") ?? "")?.[1];
    if (!token) return refuse(res, 401, "Not authenticated", "Bearer");
    try {
      req.user = (await jwtVerify(token, keys, wanted)).payload;
    } catch (error) {
      if (!badToken.test(error.code)) return refuse(res, 503, "The keys cannot be fetched");
      return refuse(res, 401, "Could not validate credentials", 'Bearer error="invalid_token"');
    }
    if (!(req.user.scope ?? "").split(" ").includes(scope)) {
      return refuse(res, 403, "Not enough permissions", `Bearer error="insufficient_scope", scope="${scope}"`);
    }
    next();
  };
}

const app = express();

app.get("/notes/", needs("read"), (req, res) => {
  res.json({ owner: req.user.uid, name: req.user.sub, notes: [] }); // keep data by uid: names are reused
});

app.listen(PORT, "127.0.0.1");
