import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import newman from "newman";

const collection = JSON.parse(readFileSync("imported.json", "utf8"));
const baseUrl = collection.variable.find((variable) => variable.key === "baseUrl").value;
assert.equal(baseUrl, process.env.BASE);

// requests finds the imported requests by name, in whichever folders they are.
const all = (items) => items.flatMap((item) => (item.item ? all(item.item) : [item]));
const requests = (...names) => names.map((name) => all(collection.item).find((item) => item.name === name));

const login = "Log in, or get new tokens";
collection.item = requests("Register a user", login, "Who am I");
collection.item[1].event = [{
  listen: "test",
  script: { exec: ['pm.environment.set("bearerToken", pm.response.json().access_token)'] },
}];

newman.run({ collection, timeout: 60_000 }, (error, summary) => {
  assert.ifError(error);
  assert.deepEqual(summary.run.failures, []);
  const answers = summary.run.executions.map(({ item, response }) => [item.name, response?.code]);
  assert.deepEqual(answers, collection.item.map(({ name }) => [name, 200]));
  assert.equal(summary.run.executions[2].response.json().username, "testuser");
});
