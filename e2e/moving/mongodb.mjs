// What mongoexport writes of the users of an Express application: an object a line, with
// hashes of bcryptjs and node-argon2.
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const require = createRequire(process.env.HASH_PRODUCERS + "/");
const argon2 = require("argon2");
const bcrypt = require("bcryptjs");

const lines = [];
const people = JSON.parse(await text(process.stdin));
for (const { name, email, full_name, password, created_at } of people) {
  const user = { _id: { $oid: "65e06f3a1c9d440000a1b2c3" }, email, createdAt: { $date: created_at } };
  if (full_name) user.name = full_name;
  const hash = name === "ada" ? (p) => bcrypt.hash(p, 10) : (p) => argon2.hash(p);
  if (password) user.password = await hash(password);
  lines.push(JSON.stringify(user) + "\n");
  console.log(JSON.stringify({ username: email, email, full_name, password, created_at }));
}
writeFileSync("mongo.json", lines.join(""));
