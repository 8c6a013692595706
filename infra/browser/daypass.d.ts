/** Options of {@link Daypass}. */
export interface DaypassOptions {
  /** The URL of the API, without a slash at the end: `https://api.example.com`. */
  url: string;
  /** The id of a client that is registered with `"transport": "cookie"` and the origin of this page. */
  clientId: string;
  /** The scope to request at login, separated by spaces. Default: the whole scope of the user and the client. */
  scope?: string;
  /** More origins that {@link Daypass.fetch} may send the access token to. It always may to those of `url` and of the page. */
  origins?: string[];
  /**
   * Binds tokens to a key of this browser, which no script can read
   * ([DPoP](https://www.rfc-editor.org/rfc/rfc9449)). A copied token is then of no use elsewhere. Default: bearer tokens.
   */
  dpop?: boolean;
  /**
   * Called when {@link Daypass.fetch} is denied until the user authenticates again. Ask the user, call {@link Daypass.stepUp}, and
   * return whether it succeeded: `fetch` then repeats the request. Without it, `fetch` returns the denial.
   */
  onStepUp?: (needed: DaypassStepUp) => boolean | Promise<boolean>;
  /** Replaces the browser's `fetch`. */
  fetch?: typeof globalThis.fetch;
}

/** The authentication that a request needs ([RFC 9470](https://www.rfc-editor.org/rfc/rfc9470)). */
export interface DaypassStepUp {
  /** Whether the password is not enough. */
  readonly twoFactors: boolean;
  /** The greatest age of the authentication in seconds, or null for any. */
  readonly maxAge: number | null;
}

/** `starting` until the server or another tab has answered whether there is a session. */
export type DaypassState = "starting" | "signed-in" | "signed-out";

/** The session of the browser. */
export interface DaypassSession {
  readonly sessionId: string;
  /** The scope of the access token, separated by spaces. */
  readonly scope: string;
  /** Whole seconds until the access token expires, 0 afterwards. A change of the system clock has no effect. */
  readonly expiresIn: number;
}

/**
 * Why the state or the session changed:
 *
 * - `start`: this tab found out at its start
 * - `login`, `logout`: of this tab
 * - `password`: this tab changed the password, which opens a new session
 * - `other-tab`: another tab logged in or out, changed the password, or shared its session
 * - `ended`: the session was revoked or has expired
 */
export type DaypassReason = "start" | "login" | "logout" | "password" | "other-tab" | "ended";

/** Events of {@link Daypass}. */
export interface DaypassEvents {
  /** The state or the session changed, in this tab or in another one. */
  change: CustomEvent<{ state: DaypassState; reason: DaypassReason }>;
  /** There is a new access token. */
  renewed: CustomEvent<{ by: "this-tab" | "other-tab" }>;
}

/** The answer to a request for a mail. It is the same for every address, and no sign that a mail was sent. */
export interface DaypassMailRequest {
  /** Identifies the request when the user types the code of the mail. Worthless without the code. */
  readonly request: string;
  /** Seconds until link and code expire. */
  readonly expiresIn: number;
}

/** Proof that the user reads the mails of an address: the token of the link, or the code with the request that caused the mail. */
export type DaypassConfirmation = { token: string } | { request: string; code: string };

/** The token of a mail's link, and the call that takes it: `reset`, `confirmSignup` (also for an invitation) or `confirmEmail`. */
export interface DaypassMailToken {
  readonly purpose: "reset" | "signup" | "invitation" | "email";
  readonly token: string;
}

/**
 * Takes the token of a mail's link from the fragment of the page's URL, and removes it from the address bar and the history.
 * Null without one.
 *
 * A link to the page that is already open does not reload it: call this at the start and at each `hashchange`.
 */
export function takeMailToken(): DaypassMailToken | null;

/** An error of the server or of the way to it. `message` is the server's `error_description`. */
export class DaypassError extends Error {
  /** The HTTP status, 0 without a response. It is also 401 for `signed_out`. */
  readonly status: number;
  /**
   * The server's code, such as `invalid_grant` (wrong user name or password), `slow_down` or `temporarily_unavailable`
   * ([RFC 6749 §5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2)), or one of the module:
   *
   * - `unreachable`: no complete response, or one of a gateway in place of Daypass
   * - `signed_out`: there is no session, or not the one of the call any more
   * - `foreign_origin`: the access token must not be sent to that URL
   * - `insecure_context`: the page is neither on `https://` nor on `http://localhost`
   * - `no_browser`: the code runs on a server, where there is no session
   * - `no_key`: the browser does not keep the key that the option `dpop` needs, because IndexedDB is not available
   * - `no_passkeys`: the browser is older than passkeys as JSON (Chrome 129, Firefox 124, Safari 18.4)
   */
  readonly error: string;
  /** `token` or `refresh_token` if the server got no token: the browser has no cookie. */
  readonly missing: string | undefined;
  /** With `mfa_required`: the token of the first step, valid for five minutes. */
  readonly mfaToken: string | undefined;
  /** With `mfa_required`, if the user has a passkey: the question for it. */
  readonly passkey: PublicKeyCredentialRequestOptionsJSON | undefined;
  /** Seconds to wait (`Retry-After`), 0 if the server named none. Undefined if the error does not come from a request. */
  readonly retryAfter: number | undefined;
  private constructor();
}

/** The session of this browser with one API, the same in all tabs of the origin. A page needs one object. */
export class Daypass extends EventTarget {
  /**
   * On a server that renders the page, the object stays in the state `starting`, and its requests reject as `no_browser`.
   *
   * @throws {DaypassError} `insecure_context` on a page where browsers do not keep the cookie
   *   ([secure contexts](https://developer.mozilla.org/en-US/docs/Web/Security/Secure_Contexts))
   */
  constructor(options: DaypassOptions);
  readonly state: DaypassState;
  /** The session, or `null` without one. */
  readonly session: DaypassSession | null;
  /**
   * Finds the session, in another tab or with one renewal. Never rejects: if the server does not answer, it resolves to
   * `starting`, and the attempts continue.
   */
  start(): Promise<DaypassState>;
  /**
   * Logs in, for all tabs. Rejects with {@link DaypassError}. `mfa_required`: the user has a second factor, and `mfaToken` and
   * `passkey` are for {@link Daypass.loginFactor}.
   */
  login(credentials: { username: string; password: string }): Promise<void>;
  /**
   * Logs in with a passkey, for all tabs, without a name.
   *
   * With `conditional`, the browser offers the user's passkeys in the list of the field with `autocomplete="username webauthn"`,
   * and the promise stays pending until the user takes one. A later call, or {@link Daypass.login}, ends the wait: it then
   * rejects with an `AbortError`.
   *
   * Rejects with {@link DaypassError}, such as `wrong_passkey`, or as
   * [`navigator.credentials.get`](https://developer.mozilla.org/en-US/docs/Web/API/CredentialsContainer/get) does:
   * `NotAllowedError` if the user cancels.
   */
  signInWithPasskey(options?: { conditional?: boolean }): Promise<void>;
  /**
   * Registers a passkey under this name. The user must have logged in within ten minutes, and with a second factor if there is
   * one: otherwise it rejects as `insufficient_user_authentication`.
   *
   * Rejects with {@link DaypassError}, or as
   * [`navigator.credentials.create`](https://developer.mozilla.org/en-US/docs/Web/API/CredentialsContainer/create) does:
   * `InvalidStateError` if the device has a passkey of the user, `NotAllowedError` if the user cancels.
   */
  registerPasskey(name: string): Promise<{ passkeyId: string }>;
  /**
   * Completes a login by a one-time code, a recovery code, or the `passkey` of the error: the browser asks the user for it.
   *
   * Rejects with {@link DaypassError}. `wrong_code` and `wrong_passkey` are for the user. After `invalid_grant`, the user begins
   * again with the password. With `passkey`, it also rejects as {@link Daypass.signInWithPasskey} does.
   */
  loginFactor(proof: {
    mfaToken: string;
    code?: string;
    recoveryCode?: string;
    passkey?: PublicKeyCredentialRequestOptionsJSON;
  }): Promise<void>;
  /**
   * Changes the password. All sessions of the user end, and this browser gets a new one.
   *
   * Rejects with {@link DaypassError}. `wrong_password` and `password_refused` are for the user. After `unreachable` or a 5xx,
   * call it again with the same passwords within seconds. If it then rejects as `signed_out`, the password may be the new one.
   * It also rejects as `signed_out` if the session had ended before, or if another tab logged in meanwhile.
   */
  changePassword(passwords: { currentPassword: string; newPassword: string }): Promise<void>;
  /**
   * Authenticates the user again, by the password, and by `code`, `recoveryCode` or a passkey if the user has a second factor. The
   * session stays. With `passkey`, the browser asks the user for a passkey. One with user verification needs no password.
   *
   * Rejects with {@link DaypassError}. `wrong_password`, `wrong_code` and `wrong_passkey` are for the user.
   * `insufficient_user_authentication` means that the password is right: ask for a second factor too. `signed_out` as for
   * {@link Daypass.changePassword}. With `passkey`, it also rejects as {@link Daypass.signInWithPasskey} does.
   */
  stepUp(
    proof:
      | { currentPassword: string; code?: string; recoveryCode?: string; passkey?: false }
      | { currentPassword?: string; passkey: true },
  ): Promise<void>;
  /**
   * Requests an account. Every address gets a mail: how to confirm, or that there is an account already.
   *
   * `language` is that of the mail, such as `de`. Rejects with {@link DaypassError}. After 429, `retryAfter` says when the next
   * mail is possible.
   */
  signup(account: { email: string; language?: string }): Promise<DaypassMailRequest>;
  /**
   * Makes the account with this password, also that of an invitation. No session begins.
   *
   * Rejects with {@link DaypassError}. `password_refused` is for the user. After `invalid_token`, the user needs another mail.
   */
  confirmSignup(confirmation: DaypassConfirmation & { password: string }): Promise<{ user: string }>;
  /** Requests a mail to replace a forgotten password. Otherwise like {@link Daypass.signup}. */
  recover(account: { email: string; language?: string }): Promise<DaypassMailRequest>;
  /**
   * Replaces a forgotten password. All sessions of the user end, also that of this browser. No session begins. Rejects like
   * {@link Daypass.confirmSignup}.
   */
  reset(confirmation: DaypassConfirmation & { password: string }): Promise<void>;
  /**
   * Requests a mail to a new address of the user. The old one stays until {@link Daypass.confirmEmail}.
   *
   * Rejects with {@link DaypassError}. `wrong_password` is for the user.
   */
  changeEmail(change: { currentPassword: string; email: string; language?: string }): Promise<DaypassMailRequest>;
  /** Changes the address of the user, with or without a session. Rejects like {@link Daypass.confirmSignup}. */
  confirmEmail(confirmation: DaypassConfirmation): Promise<void>;
  /**
   * Ends the session, or with `everywhere` all sessions of the user. Deletes the key of the option `dpop`.
   *
   * Rejects with {@link DaypassError} if the server did not confirm it: the cookie is still there, and the user is still
   * logged in. With `everywhere` it rejects as `signed_out` if this session had already ended: the browser is signed out, and
   * the user's other sessions continue.
   */
  logout(options?: { everywhere?: boolean }): Promise<void>;
  /**
   * As the global [`fetch`](https://developer.mozilla.org/en-US/docs/Web/API/Window/fetch), with the access token in the
   * `Authorization` header, and with a proof in the header `DPoP` if the token is bound to a key.
   *
   * Renews the token shortly before it expires. Renews it also after a 401 or 403, and after an error on another origin,
   * which may be a 401 or 403 without CORS headers. It then repeats the request once: any request that got a response, and
   * without a response a `GET` or `HEAD`.
   *
   * After a denial that needs another authentication, it calls {@link DaypassOptions.onStepUp} and repeats the request once.
   *
   * Rejects with {@link DaypassError} if there is no access token, and otherwise as the global `fetch` does.
   */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** Stops timers and listeners. The session stays. */
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
