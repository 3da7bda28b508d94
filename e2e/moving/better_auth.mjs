// Users that better-auth itself has signed up, copied from its memory to old.sql.
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const require = createRequire(process.env.HASH_PRODUCERS + "/");
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { betterAuth } = await load("better-auth");
const { memoryAdapter } = await load("better-auth/adapters/memory");

const tables = { user: [], session: [], account: [], verification: [] };
const auth = betterAuth({
  baseURL: "http://localhost:3000",
  secret: "a secret of this test, of 32 bytes and more",
  database: memoryAdapter(tables),
  emailAndPassword: { enabled: true, autoSignIn: false },
  telemetry: { enabled: false },
});
for (const { name, email, full_name, password } of JSON.parse(await text(process.stdin))) {
  if (password) await auth.api.signUpEmail({ body: { email, password, name: full_name ?? name } });
  else tables.user.push({ id: name, name, email }); // as a login by a provider leaves them
  console.log(JSON.stringify({ username: email, email, full_name: full_name ?? name, password }));
}

const sql = (value) =>
  value === null || value === undefined ? "NULL"
    : `'${(value instanceof Date ? value.toISOString() : String(value)).replaceAll("'", "''")}'`;
const copy = (table, columns) => [
  `CREATE TABLE ${table} (${columns.join(", ")});`,
  ...tables[table].map((row) => columns.map((column) => sql(row[column])).join(", "))
    .map((values) => `INSERT INTO ${table} VALUES (${values});`),
];
writeFileSync("old.sql", [
  ...copy("user", ["id", "name", "email", "emailVerified", "image", "createdAt", "updatedAt"]),
  ...copy("account", ["id", "accountId", "providerId", "userId", "password", "createdAt", "updatedAt"]),
].join("\n"));
