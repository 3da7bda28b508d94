// The types of latchkey.js.

/** What the server shows of a user. */
export interface User {
  username: string;
  email: string | null;
  full_name: string | null;
}

/** What somebody registers with. */
export interface NewUser {
  username: string;
  password: string;
  email?: string | null;
  full_name?: string | null;
}

export interface Credentials {
  username: string;
  password: string;
  /** A code, for accounts with a second factor. */
  otp?: string;
}

export interface LatchkeyOptions {
  /** The server's URL. By default the folder that the module was loaded from. */
  url?: string | URL;
  /** Where the session lives: "session" also keeps the refresh token in sessionStorage. */
  persist?: "memory" | "session";
  /** Other origins that the token is sent to: services of yours that verify it. */
  origins?: readonly (string | URL)[];
}

/**
 * Why a session has ended: somebody signed out, it was not used for too long or is too old, its
 * refresh token was used twice and may have been stolen, or it was ended elsewhere.
 */
export type SignedOutReason = "logout" | "expired" | "reused" | "ended";

export interface LatchkeyEventMap {
  signedin: CustomEvent<null>;
  signedout: CustomEvent<{ reason: SignedOutReason }>;
}

/** One of pydantic's complaints about a request, in the detail of a 422. */
export interface FieldError {
  type: string;
  loc: (string | number)[];
  msg: string;
}

export declare class LatchkeyError extends Error {
  /** The HTTP status, or 0 if there was no answer. */
  status: number;
  /** RFC 6749's error, such as invalid_grant, if the server has sent one. */
  code: string | undefined;
  /** What the server says is wrong: a text, or for 422 a list. Undefined if it says nothing. */
  detail: string | FieldError[] | undefined;
  /** Seconds until it makes sense to try again, if the server has sent them. */
  retryAfter: number | undefined;
}

/**
 * One person's session on a Latchkey server. A page needs one.
 *
 * It dispatches "signedin" when a session begins or takes the place of another, and "signedout"
 * when it ends, with the reason in event.detail.reason: in every tab, whichever did it.
 */
export declare class Latchkey extends EventTarget {
  constructor(options?: LatchkeyOptions);
  /** Whether this tab knows of a session. A new tab learns of it a moment after its start; me() waits for that. */
  readonly signedIn: boolean;
  /** Registers somebody, and does not sign them in. */
  register(user: NewUser): Promise<User>;
  /**
   * Signs somebody in, in every tab. The session before ends. If it fails, nothing changes. It does
   * not wait after a 429, which says in retryAfter how long a person has to.
   */
  login(credentials: Credentials): Promise<User>;
  /**
   * Signs out, in every tab. Rejects if the server could not be told: then the tokens are gone from
   * here, and the session lives on the server until it expires.
   */
  logout(): Promise<void>;
  /** Returns who is signed in. Rejects with status 401 if nobody is. */
  me(): Promise<User>;
  /**
   * Calls the browser's fetch, with the token for the server and for LatchkeyOptions.origins. A
   * relative input is relative to the server's URL. It refreshes the token and sends the request again
   * after a 401. After a 429, or a 503 to a method that can be repeated, it waits up to ten seconds as
   * Retry-After says, and sends the request three times at most. A body that is a stream is sent once.
   * A request with an Authorization of its own, or to another origin, goes as it is. Without an answer
   * it rejects with a LatchkeyError, or with the reason of init.signal.
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /**
   * Calls fetch, and returns the object or list that the answer is as JSON, or undefined after a 204.
   * Rejects with a LatchkeyError if the status is no success, if the answer is anything else or over
   * 1 MiB, or after 60 seconds; or with the reason of init.signal.
   */
  json<T = unknown>(input: string | URL | Request, init?: RequestInit): Promise<T>;

  addEventListener<K extends keyof LatchkeyEventMap>(
    type: K,
    listener: (this: Latchkey, event: LatchkeyEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof LatchkeyEventMap>(
    type: K,
    listener: (this: Latchkey, event: LatchkeyEventMap[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}
