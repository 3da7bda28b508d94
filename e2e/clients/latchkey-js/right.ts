import { Latchkey, LatchkeyError } from "http://localhost:8000/latchkey.js";
import type { NewUser, User } from "http://localhost:8000/latchkey.js";

const latchkey = new Latchkey({ url: new URL("https://login.example.com"), persist: "session", origins: ["https://api.example.com"] });
latchkey.addEventListener("signedout", ({ detail }) => console.log(detail.reason === "reused" ? "stolen?" : detail.reason));
latchkey.addEventListener("signedin", function () { console.log(this.signedIn); }, { once: true });

export async function signIn(form: NewUser): Promise<User | undefined> {
  try {
    await latchkey.register(form);
    const user = await latchkey.login({ ...form, otp: "123456" });
    const answer: Response = await latchkey.fetch("users/me/sessions/", { signal: AbortSignal.timeout(1000) });
    console.log(user.full_name?.length, answer.ok, (await latchkey.me()).username);
    const sessions = await latchkey.json<{ id: string }[]>("users/me/sessions/");
    await latchkey.json("users/me/sessions/" + sessions[0]?.id, { method: "DELETE" });
    return user;
  } catch (error) {
    if (!(error instanceof LatchkeyError)) throw error;
    const { status, code, detail, retryAfter } = error;
    console.log(status === 429 && retryAfter && retryAfter * 1000, code?.length);
    console.log(typeof detail === "string" ? detail : detail?.map(({ loc, msg }) => `${loc.join(".")}: ${msg}`));
    return undefined;
  } finally {
    await latchkey.logout();
  }
}
