// Hashes the passwords of standard input, a JSON list, with bcryptjs, node-argon2 and Node's
// own scrypt. Standard output has a JSON object a line. Of the dear settings, which are the
// defaults, only the first password is hashed.
import { randomBytes, scryptSync } from "node:crypto";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

// The packages are in the folder that HASH_PRODUCERS names, not beside this file.
const require = createRequire(process.env.HASH_PRODUCERS + "/");
const argon2 = require("argon2");
const bcrypt = require("bcryptjs");
const phc = require("@phc/format");

// node-argon2 0.45 writes p before t, as here; this is what its last lines do. Its binary
// crashes on some processors, so 0.44 does the work.
async function argon2of045(password, { memoryCost: m, parallelism: p, timeCost: t }) {
  const salt = randomBytes(16);
  const cost = { memoryCost: m, parallelism: p, timeCost: t };
  const hash = await argon2.hash(password, { ...cost, salt, raw: true });
  return phc.serialize({ hash, id: "argon2id", params: { m, p, t }, salt, version: 19 });
}

// scrypt is a hash by Node's scrypt in the PHC spelling, as @phc/scrypt writes it.
function scrypt(password, ln, r, p) {
  const salt = randomBytes(16);
  const hash = scryptSync(password, salt, 32, { N: 2 ** ln, r, p, maxmem: 2 ** 28 });
  return phc.serialize({ hash, id: "scrypt", params: { ln, r, p }, salt });
}

const quick = { memoryCost: 1024, timeCost: 2, parallelism: 3 };
const schemes = [
  ["bcryptjs", "bcryptjs 10", (p) => bcrypt.hash(p, 10), "dear"],
  ["bcryptjs", "bcryptjs 4", (p) => bcrypt.hash(p, 4)],
  ["argon2", "argon2", (p) => argon2.hash(p), "dear"],
  ["argon2", "argon2id, quick", (p) => argon2.hash(p, quick)],
  ["argon2", "argon2i, quick", (p) => argon2.hash(p, { ...quick, type: argon2.argon2i })],
  ["argon2", "argon2 of 0.45", (p) => argon2of045(p, quick)],
  ["node", "scrypt 17:8:1", (p) => scrypt(p, 17, 8, 1), "dear"],
  ["node", "scrypt 10:8:1", (p) => scrypt(p, 10, 8, 1)],
  ["node", "scrypt 4:3:2", (p) => scrypt(p, 4, 3, 2)],
];
const versionOf = (producer) =>
  producer === "node" ? process.version : require(`./node_modules/${producer}/package.json`).version;

const passwords = JSON.parse(await text(process.stdin));
for (const [producer, scheme, hash, dear] of schemes) {
  for (const password of dear ? passwords.slice(0, 1) : passwords) {
    console.log(JSON.stringify({
      scheme: `node ${scheme}`, producer, version: versionOf(producer),
      hash: await hash(password), password,
    }));
  }
}
