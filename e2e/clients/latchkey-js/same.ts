import * as types from "http://localhost:8000/latchkey.js";
import * as module from "./module.js";

const same: {
  Latchkey: new (options?: types.LatchkeyOptions) => types.Latchkey;
  LatchkeyError: new (message: string) => types.LatchkeyError;
} = module;
console.log(same);
