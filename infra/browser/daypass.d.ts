/** What {@link Daypass} is made with. */
export interface DaypassOptions {
  /** Where the API is, without a slash at the end: `https://api.example.com`. */
  url: string;
  /** The client's id, registered with `"transport": "cookie"` and the origin of this page. */
  clientId: string;
  /** The scope to ask for at login, separated by spaces; without it, all that the user and the client may have. */
  scope?: string;
  /** Origins besides those of `url` and of the page that {@link Daypass.fetch} may send the access token to. */
  origins?: string[];
  /** Instead of the browser's `fetch`. */
  fetch?: typeof globalThis.fetch;
}

/** `starting` until the server has said whether there is a session. */
export type DaypassState = "starting" | "signed-in" | "signed-out";

/** The session of the browser. */
export interface DaypassSession {
  readonly sessionId: string;
  /** What the access token is good for, separated by spaces. */
  readonly scope: string;
  /** Seconds that the access token is still good for, by a clock that nobody sets. */
  readonly expiresIn: number;
}

/**
 * Why the state or the session has changed: what this tab found at its `start`, its own `login` or `logout`, what it heard
 * from an `other-tab`, or that the session has `ended`: it was revoked or has expired.
 */
export type DaypassReason = "start" | "login" | "logout" | "other-tab" | "ended";

/** The events of {@link Daypass}. */
export interface DaypassEvents {
  /** The state or the session has changed, also when that happened in another tab. */
  change: CustomEvent<{ state: DaypassState; reason: DaypassReason }>;
  /** There is a new access token. */
  renewed: CustomEvent<{ by: "this-tab" | "other-tab" }>;
}

/** A refusal of the server, or the way to it. The message is the server's `error_description`. */
export class DaypassError extends Error {
  /** The HTTP status, or 0 when no answer came. 401 also when nobody is signed in. */
  readonly status: number;
  /**
   * The server's code, such as `invalid_grant` (wrong name or password), `slow_down`, `temporarily_unavailable`; or
   * `unreachable`, `signed_out`, `foreign_origin` for a URL that may not have the access token, and `insecure_context` for a
   * page that is neither on `https://` nor on this machine.
   */
  readonly error: string;
  /** Seconds to wait, as the server says; 0 when it does not, undefined when it was not asked. */
  readonly retryAfter: number | undefined;
  private constructor();
}

/** The session of this browser with one API, the same in all tabs. One object is enough for a page. */
export class Daypass extends EventTarget {
  /** Throws {@link DaypassError} on a page where browsers would not keep the cookie (`insecure_context`). */
  constructor(options: DaypassOptions);
  readonly state: DaypassState;
  /** The session, `null` without one. */
  readonly session: DaypassSession | null;
  /**
   * Finds the session, from another tab or with one renewal. Never rejects: with a server that does not answer it resolves
   * to `starting`, and the attempts go on.
   */
  start(): Promise<DaypassState>;
  /** Logs in, in all tabs. Rejects with {@link DaypassError}. */
  login(credentials: { username: string; password: string }): Promise<void>;
  /**
   * Ends the session, with `everywhere` all sessions of the user. Rejects with {@link DaypassError} when the server could
   * not be asked to: then the cookie is still there and nobody is logged out. With `everywhere` also as `signed_out`, when
   * this session had ended already: it is signed out here, but only a session that is good ends the others.
   */
  logout(options?: { everywhere?: boolean }): Promise<void>;
  /**
   * As the global `fetch`, with the access token. Renews it when it is about to end, and after a 401 or 403, or an error
   * across origins, which may be one of them without CORS headers. After that an answered request, or a `GET` or `HEAD`, is
   * sent once more. Rejects with {@link DaypassError} when there is no token to be had, and otherwise as `fetch` does.
   */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** Lets go of timers and events. The session stays. */
  close(): void;
  addEventListener<K extends keyof DaypassEvents>(
    type: K,
    listener: ((this: Daypass, event: DaypassEvents[K]) => unknown) | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}
