// Each of these lines is an error, or tsc complains that it is none.
import { Latchkey, LatchkeyError } from "http://localhost:8000/latchkey.js";

const latchkey = new Latchkey();
// @ts-expect-error
new Latchkey("https://login.example.com");
// @ts-expect-error
new Latchkey({ persist: "local" });
// @ts-expect-error
new Latchkey({ origins: "https://api.example.com" });
// @ts-expect-error
latchkey.signedIn = true;
// @ts-expect-error
latchkey.login({ username: "kim" });
// @ts-expect-error
latchkey.login("kim", "password");
// @ts-expect-error
latchkey.register({ username: "kim", password: "password", scopes: ["admin"] });
// @ts-expect-error
latchkey.me().then((user) => user.password);
// @ts-expect-error
latchkey.fetch(7);
// @ts-expect-error
latchkey.json("users/me/").then((user) => user.username);
// @ts-expect-error
latchkey.addEventListener("signedout", (event) => event.detail.reason === "tired");
// @ts-expect-error
latchkey.refresh();
// @ts-expect-error
new LatchkeyError("x").status.length;
