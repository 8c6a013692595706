/**
 * Login and silent renewal for web pages. README.md describes the design.
 *
 * The access token is in memory, the refresh token in an `HttpOnly` cookie. All tabs of an origin have one session: they
 * renew it under one lock, and exchange access tokens in messages.
 *
 * Times are in seconds unless a name ends in `Ms`.
 */

/** Limit for one request to the API. */
const REQUEST_TIMEOUT = 10;
/** Limit for waiting until another tab releases the lock. */
const LOCK_TIMEOUT = 10;
/** Limit for waiting in `fetch` until the next renewal is due. */
const TOKEN_TIMEOUT = 10;
/** An access token with less time left is not sent: it could expire on the way. */
const MIN_TIME_LEFT = 1;
/** Renewal starts this long before the expiry, or a tenth of the lifetime if that is less. Multiplied by `jitter`. */
const MAX_RENEWAL_LEAD = 30;
/** A failed renewal is repeated after 0.5 s, then after twice as long each time up to this. Multiplied by `jitter`. */
const MAX_RETRY_DELAY = 30;
/** A longer `Retry-After` of the server is cut to this. */
const MAX_RETRY_AFTER = 300;
/** After a renewal did not help a rejected request, further rejections cause no renewal for this long. */
const REJECTION_PAUSE = 60;

/**
 * A tab then checks whether a renewal is due. After `resume` it was frozen: https://wicg.github.io/page-lifecycle/ After `pageshow` it
 * may come from the back/forward cache, where messages of other pages do not reach it.
 */
const WAKE_EVENTS = ["online", "visibilitychange", "resume", "pageshow"];

/**
 * Seconds since the page was opened. The user cannot set this clock, and it differs from tab to tab.
 * https://developer.mozilla.org/en-US/docs/Web/API/Performance/now
 */
const now = () => performance.now() / 1000;

/** From 1 to 2: tabs and browsers do not act at the same moment. */
const jitter = () => 1 + Math.random();

/** https://developer.mozilla.org/en-US/docs/Web/API/AbortSignal/timeout_static, in seconds */
const timeout = (seconds) => AbortSignal.timeout(seconds * 1000);

/**
 * What the page knows of its session.
 *
 * @typedef {object} AccessToken
 * @property {string} value what the `Authorization` header takes
 * @property {string} sessionId
 * @property {string} scope separated by spaces
 * @property {number} lifetime
 * @property {number} expiresAt by the clock of this tab
 * @property {CryptoKeyPair} [key] whose proofs the token needs. Undefined for a bearer token.
 */

/**
 * A message to the other tabs of the origin.
 *
 * - `request` asks for the access token.
 * - `response` answers a `request`.
 * - `session`: the sender logged in, logged out, renewed, or found that there is no session.
 * - `failure`: a renewal of the sender failed and will be repeated.
 *
 * @typedef {object} Message
 * @property {"request" | "response" | "session" | "failure"} type
 * @property {AccessToken | null} accessToken of a `response` or `session`, null without a session
 * @property {number} timeLeft until the access token expires: the clocks of tabs differ, the time left does not
 * @property {string} reason of a `session`, as in the event `change`
 * @property {boolean} renewed whether a `session` comes from a renewal
 * @property {string} previousId of a `session`: the session that the sender had before
 * @property {{ status: number, error: string, retryAfter: number }} error of a `failure`
 */

/** An error response of the server (https://www.rfc-editor.org/rfc/rfc6749#section-5.2), or an error before there was one. */
export class DaypassError extends Error {
  /**
   * @param {object} fields
   * @param {number} [fields.status] the HTTP status, 0 without a response
   * @param {string} [fields.error] the code
   * @param {string} [fields.error_description] becomes the message
   * @param {string} [fields.missing] the token that the request lacks
   * @param {string} [fields.mfa_token] of `mfa_required`: the first step of the login
   * @param {object} [fields.passkey] of `mfa_required`: the question for a passkey, if the user has one
   * @param {number} [fields.retryAfter] seconds, 0 if the server named none, undefined if the error is not from a request
   */
  constructor({ status = 0, error = "unreachable", error_description = error, missing, mfa_token, passkey, retryAfter }) {
    super(error_description);
    this.status = status;
    this.error = error;
    this.missing = missing;
    this.mfaToken = mfa_token;
    this.passkey = passkey;
    this.retryAfter = retryAfter;
  }
}

/** The fragment of a link in a mail. The letter encodes the purpose byte of the token: shared/core/src/token/mail.rs. */
const MAIL_FRAGMENT = /^#(daypass_(?:reset|verify)_[\w-]{7}([B-E])[\w-]+)$/;
const PURPOSES = { B: "reset", C: "signup", D: "email", E: "invitation" };

/**
 * Takes the token of a mail's link from the address bar, where it would stay in the history and in shared addresses. A link
 * to the page that is already open does not reload it: call this at the start and at each `hashchange`.
 *
 * @returns {{ purpose: string, token: string } | null}
 */
export function takeMailToken() {
  const [, token, letter] = MAIL_FRAGMENT.exec(globalThis.location?.hash ?? "") ?? [];
  if (!token) return null;
  history.replaceState(history.state, "", location.pathname + location.search);
  return { purpose: PURPOSES[letter], token };
}

/** Whether the code runs on a server, which renders the page, or in another place without pages. */
const isOutsideBrowser = () => typeof isSecureContext === "undefined";

const signedOutError = () => new DaypassError({ status: 401, error: "signed_out" });

/** Whether the server rejects the refresh token (`invalid_grant`) or got no cookie (`missing`). */
const endsSession = ({ status, error, missing }) => status === 400 && (error === "invalid_grant" || Boolean(missing));

/** Whether the API rejects the access token. An authorizer makes an HTTP API answer 403, and a REST API 401. */
const isRejected = ({ status }) => status === 401 || status === 403;

/**
 * The authentication that a denied request needs, or undefined: https://www.rfc-editor.org/rfc/rfc9470#section-3. The page cannot read
 * the header of another origin unless `Access-Control-Expose-Headers` names it.
 */
function stepUpOf({ headers }) {
  const challenge = headers.get("www-authenticate") ?? "";
  if (!challenge.includes("insufficient_user_authentication")) return;
  return { twoFactors: challenge.includes("acr_values"), maxAge: Number(/max_age="(\d+)/.exec(challenge)?.[1]) || null };
}

const hasTimeLeft = ({ expiresAt }) => expiresAt - now() > MIN_TIME_LEFT;

/** How long before its expiry a token is renewed. */
const renewalLead = ({ lifetime }) => Math.min(MAX_RENEWAL_LEAD, lifetime / 10) * jitter();

const utf8 = (text) => new TextEncoder().encode(text);

/** https://www.rfc-editor.org/rfc/rfc4648#section-5, without padding */
const base64url = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const ES256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** A DPoP proof: https://www.rfc-editor.org/rfc/rfc9449#section-4.2 */
async function prove({ privateKey, publicKey }, claims) {
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", publicKey);
  const header = { typ: "dpop+jwt", alg: "ES256", jwk: { kty, crv, x, y } };
  const text = [header, claims].map((part) => base64url(utf8(JSON.stringify(part)))).join(".");
  return text + "." + base64url(await crypto.subtle.sign(ES256, privateKey, utf8(text)));
}

/**
 * The key pair in the database of this name. Scripts can use the private key, and cannot read it.
 *
 * A new pair is made each time, because a transaction does not wait for that. Transactions run one after the other, in all tabs:
 * the first one stores its pair, and the others get that one.
 *
 * https://developer.mozilla.org/en-US/docs/Web/API/IndexedDB_API
 */
async function storedKey(name) {
  const made = await crypto.subtle.generateKey(ES256, false, ["sign"]);
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(name);
    opening.onupgradeneeded = () => opening.result.createObjectStore("key");
    opening.onerror = reject;
    opening.onsuccess = () => {
      const transaction = opening.result.transaction("key", "readwrite");
      const store = transaction.objectStore("key");
      const reading = store.get(0);
      reading.onsuccess = () => {
        if (!reading.result) store.put(made, 0);
      };
      transaction.oncomplete = () => resolve(reading.result ?? made);
      transaction.onabort = reject;
      // After the transaction. An open database would delay its deletion.
      opening.result.close();
    };
  }).catch(() => {
    throw new DaypassError({ error: "no_key" });
  });
}

/**
 * A channel, or an object without effect: a browser that blocks the storage of a site can throw, and test environments lack channels.
 *
 * @returns {Pick<BroadcastChannel, "postMessage" | "close"> & { onmessage?: BroadcastChannel["onmessage"] }}
 */
function openChannel(name) {
  try {
    return new BroadcastChannel(name);
  } catch {
    return { postMessage() {}, close() {} };
  }
}

/** https://developer.mozilla.org/en-US/docs/Web/API/CredentialsContainer/get */
const askPasskey = (question, options) =>
  navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(question), ...options });

/**
 * The session of this browser with one API. All tabs of the origin share it.
 *
 * Events: `change` with `{ state, reason }`, `renewed` with `{ by }`. daypass.d.ts has their types.
 */
export class Daypass extends EventTarget {
  #options;
  /** The name of the lock, of the channel and of the storage entry. */
  #name;
  /**
   * Null after `close`, and outside a browser. https://developer.mozilla.org/en-US/docs/Web/API/BroadcastChannel
   *
   * @type {ReturnType<typeof openChannel> | null}
   */
  #channel = null;
  /**
   * Undefined until the server or another tab has answered, null without a session.
   *
   * @type {AccessToken | null | undefined}
   */
  #accessToken;
  /** The session that ended last. */
  #endedSessionId;
  /** The session whose last change of the password got no response, or a 5xx: the change may be done. */
  #unconfirmedSessionId;

  /**
   * The renewal that is under way.
   *
   * @type {Promise<void> | null}
   */
  #renewal = null;
  /**
   * Why the last renewal failed, here or in another tab. Null after a success.
   *
   * @type {DaypassError | null}
   */
  #renewalError = null;
  #failedRenewals = 0;
  /** When the next renewal is due: ahead of the expiry, or as a repetition after a failure. */
  #renewAt = Infinity;
  #renewalTimer;
  /**
   * The call of `onStepUp` that is under way.
   *
   * @type {Promise<boolean> | null}
   */
  #stepUp = null;
  /** Ends with the work of this tab that came last, if the browser has no locks. */
  #turn = Promise.resolve();
  /** Until then a rejected request causes no renewal. */
  #rejectionPauseEnd = 0;
  /** `localStorage`, or an object where the page may not use it. */
  #storage;
  /** The last nonce of the server, for tabs without `localStorage`. */
  #nonce;
  /** How far the clock of the server is ahead of this machine's, as far as this tab can tell. */
  #skew = 0;
  /** Ends the question for a passkey that is open: a page can have one. */
  #passkeyRequest = new AbortController();

  /** How often the token or `#renewalError` was set, by this tab or by a message. */
  #updates = 0;
  /** Functions to call at the next update. */
  #waiters = [];

  /**
   * @param {object} options
   * @param {string} options.url the API, without a slash at the end
   * @param {string} options.clientId a client with `"transport": "cookie"`
   * @param {string} [options.scope] for the login, separated by spaces
   * @param {string[]} [options.origins] further origins that `fetch` may send the access token to
   * @param {boolean} [options.dpop] whether tokens are bound to a key of this browser (https://www.rfc-editor.org/rfc/rfc9449)
   * @param {(needed: { twoFactors: boolean, maxAge: number | null }) => boolean | Promise<boolean>} [options.onStepUp] called when `fetch` is
   *   denied until the user authenticates again. Returns whether the user did, by `stepUp`.
   * @param {typeof globalThis.fetch} [options.fetch] used instead of the browser's
   * @throws {DaypassError} `insecure_context` where browsers would not keep the cookie
   *   (https://developer.mozilla.org/en-US/docs/Web/Security/Secure_Contexts)
   */
  constructor(options) {
    super();
    this.#options = { fetch, origins: [], ...options };
    this.#name = `daypass ${options.url} ${options.clientId}`;
    // The object of a page that is rendered on a server: its state stays `starting`.
    if (isOutsideBrowser()) return;
    if (!isSecureContext) throw new DaypassError({ error: "insecure_context" });
    this.#channel = openChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#onMessage(data);
    // In the capture phase: `resume` is dispatched at the document and does not bubble.
    for (const type of WAKE_EVENTS) addEventListener(type, this.#onWake, true);
  }

  /** Stops timers and listeners. The session stays. */
  close() {
    if (!this.#channel) return;
    for (const type of WAKE_EVENTS) removeEventListener(type, this.#onWake, true);
    clearTimeout(this.#renewalTimer);
    this.#channel.close();
    this.#channel = null;
  }

  /** @returns {"starting" | "signed-in" | "signed-out"} `starting` until the server or another tab has answered */
  get state() {
    if (this.#accessToken === undefined) return "starting";
    return this.#accessToken ? "signed-in" : "signed-out";
  }

  /** @returns {{ sessionId: string, scope: string, expiresIn: number } | null} `expiresIn` in whole seconds, 0 after expiry */
  get session() {
    if (!this.#accessToken) return null;
    const { sessionId, scope, expiresAt } = this.#accessToken;
    return { sessionId, scope, expiresIn: Math.max(0, Math.floor(expiresAt - now())) };
  }

  /**
   * Finds the session, in another tab or with one renewal. Never rejects: if the server does not answer, the state stays
   * `starting` and the attempts continue.
   *
   * @returns {Promise<"starting" | "signed-in" | "signed-out">} the state
   */
  async start() {
    if (this.#accessToken === undefined && !isOutsideBrowser()) await this.#renew();
    return this.state;
  }

  /**
   * Logs in, for all tabs.
   *
   * @param {{ username: string, password: string }} credentials
   * @returns {Promise<void>} rejects with a `DaypassError` as the server or the network reports it. Rejects as `mfa_required` if the
   *   user has a second factor: its `mfaToken` and `passkey` are for `loginFactor`.
   */
  login({ username, password }) {
    this.#passkeyRequest.abort();
    const { scope } = this.#options;
    return this.#logIn("/login", { username, password, scope });
  }

  /**
   * Completes a login that was rejected as `mfa_required`.
   *
   * @param {{ mfaToken: string, code?: string, recoveryCode?: string, passkey?: object }} proof `passkey` is that of the rejection: the
   *   browser asks the user for a passkey
   * @returns {Promise<void>} rejects with a `DaypassError`: `wrong_code`, `wrong_passkey`, or `invalid_grant` if the login has to begin
   *   again. Rejects as `navigator.credentials.get` does.
   */
  async loginFactor({ mfaToken: mfa_token, code, recoveryCode: recovery_code, passkey: question }) {
    if (question) this.#needsPasskeys();
    const passkey = question && (await askPasskey(question, {}));
    return this.#logIn("/login/factor", { mfa_token, code, recovery_code, passkey });
  }

  /**
   * Logs in with a passkey, for all tabs, without a name.
   *
   * @param {{ conditional?: boolean }} [options] whether the browser offers the passkeys in the list of the form's name field
   *   (`autocomplete="username webauthn"`) and waits until the user takes one. A later call of this method ends the wait.
   * @returns {Promise<void>} rejects with a `DaypassError`, or as `navigator.credentials.get` does:
   *   https://developer.mozilla.org/en-US/docs/Web/API/CredentialsContainer/get
   */
  async signInWithPasskey({ conditional = false } = {}) {
    this.#needsPasskeys();
    this.#passkeyRequest.abort();
    const { signal } = (this.#passkeyRequest = new AbortController());
    let passkey;
    while (!passkey) {
      const question = await this.#request("/login/passkey/options");
      // A challenge expires while the form is open.
      const stale = timeout(conditional ? question.timeout / 1250 : 1e6);
      const mediation = conditional ? "conditional" : "optional";
      passkey = await askPasskey(question, { mediation, signal: AbortSignal.any([signal, stale]) }).catch((error) => {
        if (signal.aborted || !stale.aborted) throw error;
      });
    }
    const { scope } = this.#options;
    return this.#logIn("/login/passkey", { passkey, scope });
  }

  /**
   * Registers a passkey for the user, who must have logged in within ten minutes.
   *
   * @param {string} name in the list of the user
   * @returns {Promise<{ passkeyId: string }>} rejects with a `DaypassError`, or as `navigator.credentials.create` does
   */
  async registerPasskey(name) {
    this.#needsPasskeys();
    const json = await this.#request("/factors/passkeys/options", {}, {}, this.#sendAsUser);
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(json);
    const passkey = await navigator.credentials.create({ publicKey });
    const { passkey_id: passkeyId } = await this.#request("/factors/passkeys", { name, passkey }, {}, this.#sendAsUser);
    return { passkeyId };
  }

  /**
   * Changes the password of the user. All sessions of the user end, and this browser gets a new one.
   *
   * @param {{ currentPassword: string, newPassword: string }} passwords
   * @returns {Promise<void>} rejects with a `DaypassError` as the server or the network reports it. Rejects as `signed_out` if
   *   the session has ended, or another one has replaced it.
   */
  changePassword({ currentPassword: current_password, newPassword: new_password }) {
    const body = { current_password, new_password };
    return this.#asSession("/password", body, "password", (error, sessionId) => {
      const isRepeat = this.#unconfirmedSessionId === sessionId;
      const isUnanswered = error.error === "unreachable";
      this.#unconfirmedSessionId = isUnanswered || error.status >= 500 ? sessionId : null;
      // The change ends the session. If its response was lost, an authorizer may reject the repeat, and the page may see no
      // response: see `fetch`. After a first error without a response there is no renewal: it would sign out, and the repeat
      // needs the token.
      return isUnanswered && (isRepeat || isRejected(error));
    });
  }

  /**
   * Authenticates the user again, by the password, and by a code or a passkey if the user has a second factor. The session stays, and
   * its access tokens have the new authentication.
   *
   * @param {{ currentPassword?: string, code?: string, recoveryCode?: string, passkey?: boolean }} proof `passkey`: the browser asks the
   *   user for a passkey. One with user verification needs no password
   * @returns {Promise<void>} rejects with a `DaypassError`: `wrong_password`, `wrong_code`, `wrong_passkey`, or
   *   `insufficient_user_authentication` if the password is right and a second factor is missing. Rejects as `signed_out` if the session has
   *   ended, or another one has replaced it. Rejects as `navigator.credentials.get` does.
   */
  async stepUp({ currentPassword: current_password, code, recoveryCode: recovery_code, passkey: asks }) {
    let passkey;
    if (asks) {
      this.#needsPasskeys();
      // `onStepUp` calls this, and must not wait for itself.
      const send = (url, init) => this.#fetch(new Request(url, init));
      passkey = await askPasskey(await this.#request("/reauthenticate/passkey/options", {}, {}, send).catch(this.#orSignedOut), {});
    }
    await this.#asSession("/reauthenticate", { current_password, code, recovery_code, passkey });
  }

  /**
   * Requests an account. The server sends a mail to every address: how to confirm, or that there is an account already.
   *
   * @param {{ email: string, language?: string }} account the language of the mail, such as `de`
   * @returns {Promise<{ request: string, expiresIn: number }>} for a code instead of a link, in seconds
   */
  signup({ email, language }) {
    return this.#requestMail("/signup", { email, language });
  }

  /**
   * Makes the account, by the token of the mail's link, or by its code. No session begins. Also accepts an invitation.
   *
   * @param {{ token?: string, request?: string, code?: string, password: string }} confirmation
   * @returns {Promise<{ user: string }>} the id of the user
   */
  async confirmSignup({ token, request, code, password }) {
    const { user } = await this.#requestAccount("/signup/confirm", { token, request, code, password });
    return { user };
  }

  /**
   * Requests a mail to reset a forgotten password. The answer is the same for every address.
   *
   * @param {{ email: string, language?: string }} account
   * @returns {Promise<{ request: string, expiresIn: number }>} as of `signup`
   */
  recover({ email, language }) {
    return this.#requestMail("/recover", { email, language });
  }

  /**
   * Sets a new password in place of a forgotten one. All sessions of the user end, and no session begins.
   *
   * @param {{ token?: string, request?: string, code?: string, password: string }} confirmation
   */
  async reset({ token, request, code, password }) {
    await this.#requestAccount("/recover/confirm", { token, request, code, password });
    // The session of this browser may be one of those.
    if (this.#accessToken) await this.#withLock(() => this.#refresh());
  }

  /**
   * Requests a mail to a new address of the user.
   *
   * @param {{ currentPassword: string, email: string, language?: string }} change
   * @returns {Promise<{ request: string, expiresIn: number }>} as of `signup`
   */
  async changeEmail({ currentPassword: current_password, email, language }) {
    return this.#requestMail("/email", { current_password, email, language }, this.#sendAsUser).catch(this.#orSignedOut);
  }

  /**
   * Changes the address of the user, by the token of the mail's link, or by its code.
   *
   * @param {{ token?: string, request?: string, code?: string }} confirmation
   */
  async confirmEmail({ token, request, code }) {
    await this.#requestAccount("/email/confirm", { token, request, code });
  }

  /**
   * Ends the session (https://www.rfc-editor.org/rfc/rfc7009), or all sessions of the user.
   *
   * @param {{ everywhere?: boolean }} [options]
   * @returns {Promise<void>} rejects with a `DaypassError` if the server did not confirm: the cookie and the session remain.
   *   Rejects as `signed_out` if `everywhere` was asked for and this session had already ended: this browser is signed out,
   *   and the other sessions remain.
   */
  logout({ everywhere = false } = {}) {
    return this.#withLock(async () => {
      let hadEnded = false;
      if (everywhere) {
        // Only a live session ends others, and a server may answer 200 to the revocation of an ended one.
        await this.#refreshOrThrow();
        hadEnded = !this.#accessToken;
      }
      try {
        await this.#request("/revoke", { all: everywhere });
      } catch (error) {
        if (!endsSession(error)) throw error;
        hadEnded = true;
      }
      this.#publish(null, "logout");
      if (this.#options.dpop) indexedDB.deleteDatabase(this.#name);
      if (everywhere && hadEnded) throw signedOutError();
    });
  }

  /**
   * As the global `fetch` (https://developer.mozilla.org/en-US/docs/Web/API/Window/fetch), with the access token
   * (https://www.rfc-editor.org/rfc/rfc6750#section-2.1, https://www.rfc-editor.org/rfc/rfc9449#section-7.1). A rejected request is
   * repeated once with a new token, and a request that needs another authentication once after `onStepUp`.
   *
   * @param {RequestInfo | URL} input
   * @param {RequestInit} [init]
   * @returns {Promise<Response>} rejects with a `DaypassError` if there is no access token: `signed_out`, `foreign_origin`,
   *   or the error of the renewal. Rejects as the global `fetch` does otherwise.
   */
  async fetch(input, init) {
    this.#needsBrowser();
    const request = new Request(input, init);
    const response = await this.#fetch(request);
    const needed = stepUpOf(response);
    const { onStepUp } = this.#options;
    if (!needed || !onStepUp) return response;
    // Requests that are denied at the same time share one call.
    this.#stepUp ??= Promise.resolve(needed).then(onStepUp).finally(() => (this.#stepUp = null));
    return (await this.#stepUp) ? this.#send(request, await this.#validToken()) : response;
  }

  // ---- Requests of the page

  #sendAsUser = (url, init) => this.fetch(url, init);

  #orSignedOut = (error) => {
    throw this.#accessToken === null ? signedOutError() : error;
  };

  /** As `fetch`, without `onStepUp`. */
  async #fetch(request) {
    const { origin } = new URL(request.url);
    if (!this.#isTrusted(origin)) throw new DaypassError({ error: "foreign_origin" });

    const accessToken = await this.#validToken();
    const sent = this.#send(request, accessToken);
    // On another origin an error may be a rejected token: the page cannot read a response without CORS headers.
    const response = await sent.catch((error) => {
      if (origin === location.origin || request.signal.aborted) throw error;
    });
    // A new token does not help against a denial for the authentication.
    if (response && (!isRejected(response) || stepUpOf(response))) return response;

    const successor = await this.#replaceRejected(accessToken);
    if (!successor) {
      // For the page a 401 means signed out. A renewal that failed for now is another error.
      if (response && this.#renewalError) throw this.#renewalError;
      return sent;
    }
    // Without a response the server may have acted on the request. Only safe methods are repeated then:
    // https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1
    if (!response && !["GET", "HEAD"].includes(request.method)) return sent;
    const repeated = await this.#send(request, successor);
    if (!isRejected(repeated)) this.#rejectionPauseEnd = 0;
    return repeated;
  }

  #needsBrowser() {
    if (isOutsideBrowser()) throw new DaypassError({ error: "no_browser" });
  }

  #needsPasskeys() {
    this.#needsBrowser();
    if (!globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON) throw new DaypassError({ error: "no_passkeys" });
  }

  /** Throws unless the session of the browser is still this one. */
  #needsSession(id) {
    if (this.#accessToken?.sessionId !== id) throw signedOutError();
  }

  #logIn(path, body) {
    return this.#withLock(async () => this.#publish(await this.#requestToken(path, body), "login"));
  }

  /**
   * Gets an access token by a request of the signed-in user. If the session may have ended, a renewal shows whether it has.
   *
   * @param {string} path
   * @param {object} body
   * @param {string} [reason] of a new session, as in the event `change`. Undefined: the session stays, and the token is renewed
   * @param {(error: DaypassError, sessionId: string) => boolean} [mayBeOver] besides `invalid_token`
   */
  async #asSession(path, body, reason, mayBeOver) {
    const { sessionId } = await this.#validToken();
    await this.#withLockAndNews(async () => {
      // The token may have expired during the wait for the lock.
      if (this.#accessToken && !hasTimeLeft(this.#accessToken)) await this.#refreshOrThrow();
      this.#needsSession(sessionId);
      try {
        this.#publish(await this.#requestToken(path, body, {}, this.#accessToken), reason, !reason);
      } catch (error) {
        if (mayBeOver?.(error, sessionId) || error.error === "invalid_token") {
          await this.#refresh();
          this.#needsSession(sessionId);
        }
        throw error;
      }
    });
  }

  #isTrusted(origin) {
    const { url, origins } = this.#options;
    return [url, String(location), ...origins].some((trusted) => new URL(trusted).origin === origin);
  }

  /** Sends a copy, so that the request can be repeated. */
  async #send(request, accessToken) {
    const copy = request.clone();
    const headers = await this.#authorization(accessToken, copy);
    for (const name in headers) copy.headers.set(name, headers[name]);
    // Detached from `#options`: the browser's `fetch` throws when it is called as a method of another object.
    const { fetch } = this.#options;
    return fetch(copy);
  }

  /**
   * An access token with time left, after a renewal if needed. Rejects with the error of the last renewal if the next one is
   * due later than `TOKEN_TIMEOUT`.
   */
  async #validToken() {
    const giveUpAt = now() + TOKEN_TIMEOUT;
    for (;;) {
      const accessToken = this.#accessToken;
      if (accessToken === null) throw signedOutError();
      if (accessToken && hasTimeLeft(accessToken)) {
        if (now() >= this.#renewAt) this.#renew(); // in the background
        return accessToken;
      }
      const delay = this.#renewAt - now();
      if (!this.#renewalError || delay <= 0) await this.#renew();
      else if (this.#renewAt > giveUpAt) throw this.#renewalError;
      else await this.#nextUpdate(delay);
    }
  }

  /** The successor of a rejected access token, or null. Renews unless another tab just did, or a renewal just did not help. */
  async #replaceRejected(rejected) {
    const mayRenew = !this.#renewalError && now() >= this.#rejectionPauseEnd;
    if (rejected === this.#accessToken && mayRenew) await this.#renew();
    const successor = this.#accessToken;
    if (!successor || successor === rejected) return null;
    this.#rejectionPauseEnd = now() + REJECTION_PAUSE;
    return successor;
  }

  // ---- Renewal

  /** Renews the access token. Callers share one renewal. Never rejects: `#renewalError` has the error. */
  #renew() {
    const refreshUnlessUpdated = (isUpdated) => isUpdated || this.#refresh();
    this.#renewal ??= this.#withLockAndNews(refreshUnlessUpdated).finally(() => (this.#renewal = null));
    return this.#renewal;
  }

  /**
   * As `#withLock`. The tab that had the lock before may have renewed or logged in, and its message may be slower than the
   * lock: `work` starts after the message, and learns whether there was one.
   */
  #withLockAndNews(work) {
    const calledAt = now();
    const updates = this.#updates;
    return this.#withLock(async () => {
      if (updates === this.#updates) {
        this.#broadcast({ type: "request" });
        // The longer this tab waited for the lock, the busier the machine.
        await this.#nextUpdate(Math.min(1, 0.1 + 5 * (now() - calledAt)));
      }
      return work(updates !== this.#updates);
    });
  }

  /**
   * Runs `work` while no other tab renews, logs in or logs out. Otherwise a late response could set the cookie of an older
   * session. After `LOCK_TIMEOUT` it runs in any case, because the tab that holds the lock may be frozen.
   * Two renewals at once are safe: they have one idempotency key unless storage is blocked, and get the same successor.
   *
   * https://developer.mozilla.org/en-US/docs/Web/API/LockManager/request
   */
  async #withLock(work) {
    this.#needsBrowser();
    let result;
    const runOnce = () => (result ??= work());
    // Without locks, the work of this tab waits for its own.
    const inTurn = () => (this.#turn = this.#turn.then(runOnce, runOnce));
    await (navigator.locks?.request(this.#name, { signal: timeout(LOCK_TIMEOUT) }, runOnce) ?? inTurn()).catch(runOnce);
    return result;
  }

  /** Whether the session needs proofs that this page or this browser cannot make. */
  #cannotProve({ error }) {
    return this.#options.dpop ? error === "no_key" && !this.#accessToken : error === "invalid_dpop_proof";
  }

  /** Exchanges the refresh token in the cookie: https://www.rfc-editor.org/rfc/rfc6749#section-6. Never rejects. */
  async #refresh() {
    const headers = { "idempotency-key": this.#idempotencyKey() };
    let accessToken = null;
    try {
      accessToken = await this.#requestToken("/refresh", { grant_type: "refresh_token" }, headers);
    } catch (error) {
      if (!endsSession(error) && !this.#cannotProve(error)) {
        this.#broadcast({ type: "failure", error: { ...error } });
        this.#onFailure(error);
        return;
      }
    }
    if (accessToken) this.#publish(accessToken, "start", true);
    else this.#publish(null, this.#accessToken ? "ended" : "start");
    delete this.#storage[this.#name];
  }

  /** As `#refresh`, and rejects with its error. */
  async #refreshOrThrow() {
    await this.#refresh();
    if (this.#renewalError) throw this.#renewalError;
  }

  /**
   * The server recognises a repeated renewal by this key. It stays the same until the server has answered, also in another tab
   * and after a reload. Otherwise a retry after a lost response would be token reuse.
   * https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
   */
  #idempotencyKey() {
    const key = crypto.randomUUID();
    try {
      this.#storage ??= localStorage;
      return (this.#storage[this.#name] ??= key);
    } catch {
      // Storage is blocked or full.
      this.#storage = { [this.#name]: key };
      return key;
    }
  }

  /**
   * The headers of one request: the access token, a new proof of its key, or both. Proofs without a token are for the server that
   * issues tokens, and have its nonce.
   *
   * @param {Partial<AccessToken>} holder
   */
  async #authorization({ key, value }, { method, url }) {
    const scheme = (name) => (value ? { authorization: `${name} ${value}` } : {});
    if (!key) return scheme("Bearer");
    const ath = value && base64url(await crypto.subtle.digest("SHA-256", utf8(value)));
    const nonce = value ? undefined : this.#lastNonce();
    const iat = Math.floor(Date.now() / 1000 + this.#skew);
    const claims = { jti: crypto.randomUUID(), htm: method, htu: url.split(/[?#]/)[0], iat, ath, nonce };
    return { ...scheme("DPoP"), dpop: await prove(key, claims) };
  }

  /** The last nonce that a tab received. */
  #lastNonce(received) {
    const name = `${this.#name} nonce`;
    this.#nonce = received ?? this.#nonce;
    try {
      if (received) localStorage[name] = received;
      return localStorage[name] ?? this.#nonce;
    } catch {
      // Storage is blocked or full.
      return this.#nonce;
    }
  }

  /**
   * Requests an access token.
   *
   * @param {AccessToken | null} [presented] authorizes the request. Without it, the password or the cookie does.
   * @returns {Promise<AccessToken>} from a response as in https://www.rfc-editor.org/rfc/rfc6749#section-5.1
   */
  async #requestToken(path, body, headers = {}, presented = null) {
    const { url, dpop } = this.#options;
    const holder = presented ?? { key: dpop && (await storedKey(this.#name)) };
    // The lifetime counts from before the request: the token must not look younger than it is.
    const sentAt = now();
    const request = async () => {
      const authorization = await this.#authorization(holder, { method: "POST", url: url + path });
      return this.#request(path, body, { ...headers, ...authorization });
    };
    const response = await request().catch((error) => {
      // The response had a nonce, and perhaps the time: a proof with these can be valid.
      const isNew = error.error === "use_dpop_nonce" || (error.error === "invalid_dpop_proof" && this.#skew);
      if (!holder.key || !isNew) throw error;
      return request();
    });
    return {
      key: holder.key,
      value: response.access_token,
      sessionId: response.session_id,
      scope: response.scope,
      lifetime: response.expires_in,
      expiresAt: sentAt + response.expires_in,
    };
  }

  /** As `#request`, for calls that need no session. */
  async #requestAccount(path, body, send) {
    this.#needsBrowser();
    return this.#request(path, body, {}, send);
  }

  async #requestMail(path, body, send) {
    const { request, expires_in: expiresIn } = await this.#requestAccount(path, body, send);
    return { request, expiresIn };
  }

  /** Posts JSON, with the cookie. Returns the JSON of a successful response, and rejects with a `DaypassError` otherwise. */
  async #request(path, body, headers, send = this.#options.fetch) {
    const { url, clientId: client_id, dpop } = this.#options;
    let response, json;
    try {
      response = await send(url + path, {
        method: "POST",
        signal: timeout(REQUEST_TIMEOUT),
        credentials: "include",
        redirect: "error",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ client_id, ...body }),
      });
      json = response.status === 204 ? {} : await response.json();
    } catch (error) {
      if (error instanceof DaypassError) throw error;
      // No response, or only a part of it.
    }
    const received = (name) => response?.headers.get(name);
    if (dpop && response) {
      this.#lastNonce(received("dpop-nonce") ?? undefined);
      // NaN if the API does not let a page of another origin read it.
      this.#skew = (Date.parse(received("date")) - Date.now()) / 1000 || 0;
    }
    if (json && response?.ok) return json;
    // https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3, in seconds: the server sends no dates.
    const retryAfter = Number(response?.headers.get("retry-after")) || 0;
    throw new DaypassError({ ...json, status: response?.status, retryAfter });
  }

  // ---- Other tabs

  /** @param {Partial<Message>} message without `timeLeft` */
  #broadcast(message) {
    const { accessToken } = message;
    this.#channel?.postMessage({ ...message, timeLeft: accessToken ? accessToken.expiresAt - now() : 0 });
  }

  /** @param {Message} message */
  #onMessage(message) {
    switch (message.type) {
      case "request":
        return this.#answerRequest();
      case "response":
        // It is for another tab unless this one is about to renew.
        return this.#renewal && this.#onToken(message);
      case "session":
        return message.accessToken ? this.#onToken(message) : this.#onNoSession(message);
      case "failure":
        return this.#onFailure(new DaypassError(message.error), this.#renewAt);
    }
  }

  #answerRequest() {
    const accessToken = this.#accessToken;
    const isFresh = accessToken && !this.#renewalError && now() < this.#renewAt;
    if (isFresh) this.#broadcast({ type: "response", accessToken });
  }

  #onToken({ accessToken, timeLeft, renewed }) {
    if (accessToken.value === this.#accessToken?.value) return;
    this.#update({ ...accessToken, expiresAt: now() + timeLeft }, "other-tab", renewed && "other-tab");
  }

  #onNoSession({ reason, previousId }) {
    if (!this.#accessToken || this.#accessToken.sessionId === previousId) {
      this.#update(null, reason === "logout" ? "other-tab" : reason);
    } else {
      // The sender has just opened and does not know which session ended. Ask the server.
      this.#renewAt = 0;
      this.#renew();
    }
  }

  // ---- State

  /** As `#update`, in all tabs. */
  #publish(accessToken, reason, renewed = false) {
    this.#broadcast({ type: "session", accessToken, reason, renewed, previousId: this.#accessToken?.sessionId });
    this.#update(accessToken, reason, renewed && "this-tab");
  }

  /** Sets the access token, null for the end of the session, and dispatches the events. */
  #update(accessToken, reason, renewedBy) {
    const id = accessToken?.sessionId;
    // A late message or response does not bring an ended session back.
    if (id && id === this.#endedSessionId) return;

    const previousId = this.#accessToken?.sessionId;
    const changed = this.state === "starting" || id !== previousId;
    if (changed && previousId) this.#endedSessionId = previousId;
    this.#accessToken = accessToken;
    this.#renewalError = null;
    this.#failedRenewals = 0;
    this.#scheduleRenewal(accessToken ? accessToken.expiresAt - renewalLead(accessToken) : Infinity);

    if (changed) this.#dispatch("change", { state: this.state, reason });
    if (renewedBy) this.#dispatch("renewed", { by: renewedBy });
  }

  #dispatch(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /**
   * Schedules the repetition of a failed renewal.
   *
   * @param {DaypassError} error
   * @param {number} [scheduled] ignores the failure if it would bring this renewal forward
   */
  #onFailure(error, scheduled = 0) {
    const backoff = Math.min(MAX_RETRY_DELAY, 2 ** this.#failedRenewals++ / 2) * jitter();
    const renewAt = now() + Math.max(backoff, Math.min(MAX_RETRY_AFTER, error.retryAfter ?? 0));
    if (renewAt < scheduled) return;
    this.#renewalError = error;
    this.#scheduleRenewal(renewAt);
  }

  // ---- Waiting

  /** Resolves at the next update, or after that many seconds. */
  #nextUpdate(seconds) {
    return new Promise((resolve) => {
      setTimeout(resolve, seconds * 1000);
      this.#waiters.push(resolve);
    });
  }

  /** The end of each update: sets the time of the next renewal, and resolves `#nextUpdate`. */
  #scheduleRenewal(renewAt) {
    this.#renewAt = renewAt;
    this.#updates++;
    for (const resolve of this.#waiters) resolve();
    this.#waiters = [];
    clearTimeout(this.#renewalTimer);
    if (renewAt === Infinity || !this.#channel) return;
    // A little later: a timer can fire early by a fraction of a millisecond, and would then renew nothing.
    const delayMs = (renewAt - now()) * 1000 + 9;
    this.#renewalTimer = setTimeout(() => this.#onWake(), delayMs);
  }

  /**
   * Renews if it is due. A hidden tab does not: it renews when it is shown or when the page calls `fetch`.
   *
   * @param {Event & { persisted?: boolean }} [event] undefined when the timer calls
   */
  #onWake = (event) => {
    const isOnline = event?.type === "online" && this.#renewalError?.status === 0;
    // The clock may have stopped, and messages that waited are older than they look.
    const isThawed = (event?.type === "resume" || event?.persisted) && this.#accessToken && !this.#renewalError;
    if (isOnline || isThawed) this.#renewAt = 0;
    // A worker has no document.
    if (now() >= this.#renewAt && !globalThis.document?.hidden) this.#renew();
  };
}
