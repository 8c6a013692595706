// The access token is in memory, the refresh token in a cookie. README.md says how this works.

const now = () => performance.now() / 1e3; // seconds of a clock that nobody sets

export class DaypassError extends Error {
  constructor({ status = 0, error = "unreachable", error_description = error, retryAfter }) {
    super(error_description);
    Object.assign(this, { status, error, retryAfter });
  }
}

// invalid_grant: a dead cookie; invalid_request: none.
const gone = ({ status, error }) => status === 400 && /^invalid_[gr]/.test(error);
const refused = ({ status }) => status === 401 || status === 403;

export class Daypass extends EventTarget {
  #options; #name; #channel; #timer; #renewing; #error; #ended; #store;
  #ticket; // undefined until it is known, null without a session
  #due = Infinity; // when to renew; with #error, when to try again
  #failures = 0;
  #waiting = []; // for news: another array after each
  #queue = Promise.resolve();

  constructor(options) {
    super();
    this.#options = { fetch, origins: [], ...options };
    this.#name = `daypass ${options.url} ${options.clientId}`;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    addEventListener("online", this.#wake);
    addEventListener("visibilitychange", this.#wake);
  }

  close() {
    removeEventListener("online", this.#wake);
    removeEventListener("visibilitychange", this.#wake);
    clearTimeout(this.#timer);
    this.#channel.close();
    this.#channel = null;
  }

  get state() {
    return this.#ticket ? "signed-in" : this.#ticket === null ? "signed-out" : "starting";
  }

  get session() {
    if (!this.#ticket) return null;
    const { session_id: sessionId, scope, end } = this.#ticket;
    return { sessionId, scope, expiresIn: Math.max(0, Math.floor(end - now())) };
  }

  async start() {
    if (this.#ticket === undefined) await this.#renew();
    return this.state;
  }

  login({ username, password }) {
    const { scope } = this.#options;
    return this.#inTurn(async () =>
      this.#share(await this.#post("/login", { username, password, scope }), "login"),
    );
  }

  logout({ everywhere = false } = {}) {
    return this.#inTurn(async () => {
      await this.#post("/revoke", { all: everywhere }).catch((error) => {
        if (everywhere || !gone(error)) throw error;
      });
      this.#share(null, "logout");
    });
  }

  async fetch(input, init) {
    const request = new Request(input, init);
    const { url, origins, fetch } = this.#options;
    const { origin } = new URL(request.url);
    if (![url, location, ...origins].some((own) => new URL(own).origin === origin)) {
      throw new DaypassError({ error: "foreign_origin" });
    }
    const send = (request, { access_token }) => {
      request.headers.set("authorization", "Bearer " + access_token);
      return fetch(request);
    };
    const ticket = await this.#valid();
    const answer = await send(request.clone(), ticket);
    if (!refused(answer) || ticket.denied) return answer;
    if (ticket === this.#ticket && !this.#error) await this.#renew();
    const next = this.#ticket;
    if (!next || next === ticket) return answer;
    const second = await send(request, next);
    next.denied = refused(second);
    return second;
  }

  async #valid() {
    const limit = now() + 10;
    for (;;) {
      const ticket = this.#ticket;
      if (ticket === null) throw new DaypassError({ status: 401, error: "signed_out" });
      if (ticket?.end - now() > 1) {
        if (now() >= this.#due) this.#renew();
        return ticket;
      }
      const wait = this.#error ? this.#due - now() : 0;
      if (wait <= 0) await this.#renew();
      else if (now() + wait > limit) throw this.#error;
      else await this.#pause(wait);
    }
  }

  #renew() {
    const waiting = this.#waiting;
    return (this.#renewing ??= this.#inTurn(async (wait) => {
      // Another tab may have a token, and a message can be slower than the lock.
      if (waiting === this.#waiting) {
        this.#tell({ ask: true });
        await this.#pause(wait);
      }
      if (waiting === this.#waiting) await this.#refresh();
    }).finally(() => (this.#renewing = null)));
  }

  // One tab at a time; news, or 10 seconds, end the wait.
  async #inTurn(work) {
    const asked = now();
    const gate = new AbortController();
    let turn;
    const run = () => (turn = work(Math.min(1, 0.1 + 5 * (now() - asked))));
    if (!navigator.locks) return (this.#queue = this.#queue.then(run, run));
    this.#pause(10).then(() => gate.abort());
    await navigator.locks.request(this.#name, { signal: gate.signal }, run).catch(() => {});
    return turn ?? work(0);
  }

  async #refresh() {
    try {
      const headers = { "idempotency-key": this.#attempt() };
      const ticket = await this.#post("/refresh", { grant_type: "refresh_token" }, headers);
      this.#share(ticket, "start", "this-tab");
    } catch (error) {
      if (!gone(error)) {
        this.#tell({ failed: { ...error } });
        return this.#fail(error);
      }
      this.#share(null, this.#ticket ? "ended" : "start");
    }
    delete this.#store[this.#name];
  }

  // The same until it is answered: the server knows a retry by it.
  #attempt() {
    try {
      return ((this.#store ??= localStorage)[this.#name] ??= crypto.randomUUID());
    } catch {
      this.#store = {}; // blocked or full
      return this.#attempt();
    }
  }

  async #post(path, body, headers) {
    const sent = now();
    const { url, clientId: client_id, fetch } = this.#options;
    let response, answer;
    try {
      response = await fetch(url + path, {
        method: "POST",
        credentials: "include",
        redirect: "error",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ client_id, ...body }),
        signal: AbortSignal.timeout(1e4),
      });
      answer = await response.json();
    } catch {}
    if (answer && response.ok) return { ...answer, end: sent + answer.expires_in };
    throw new DaypassError({
      ...answer,
      status: response?.status,
      retryAfter: +response?.headers.get("retry-after") || 0,
    });
  }

  #tell(message) {
    this.#channel?.postMessage({ left: message.ticket?.end - now(), ...message });
  }

  #share(ticket, reason, by) {
    this.#tell({ ticket, reason, by, old: this.#ticket?.session_id });
    this.#settle(ticket, reason, by);
  }

  #hear({ ask, answer, failed, ticket, reason, by, left, old }) {
    const own = this.#ticket;
    if (ask) {
      if (own && !this.#error && now() < this.#due) this.#tell({ ticket: own, answer: true });
    } else if (failed) {
      this.#fail(new DaypassError(failed), this.#due);
    } else if (!ticket) {
      if (!own || own.session_id === old) this.#settle(null, reason === "logout" ? "other-tab" : reason);
    } else if (
      ticket.session_id !== this.#ended &&
      ticket.access_token !== own?.access_token &&
      (!answer || this.#renewing)
    ) {
      this.#settle({ ...ticket, end: now() + left }, "other-tab", by && "other-tab");
    }
  }

  #settle(ticket, reason, by) {
    const old = this.#ticket && this.#ticket.session_id;
    const changed = old !== (ticket && ticket.session_id);
    if (changed && old) this.#ended = old; // no late message brings it back
    this.#ticket = ticket;
    this.#error = null;
    this.#failures = 0;
    // Not in all tabs at once.
    const ahead = Math.min(30, ticket?.expires_in / 10) * (1 + Math.random());
    this.#due = ticket ? ticket.end - ahead : Infinity;
    this.#stir();
    if (changed) this.dispatchEvent(new CustomEvent("change", { detail: { state: this.state, reason } }));
    if (by) this.dispatchEvent(new CustomEvent("renewed", { detail: { by } }));
  }

  #fail(error, due = 0) {
    const wait = Math.min(30, 2 ** this.#failures++ / 2) * (1 + Math.random());
    const again = now() + Math.max(wait, Math.min(300, error.retryAfter));
    if (again < due) return;
    this.#error = error;
    this.#due = again;
    this.#stir();
  }

  #pause(seconds) {
    return new Promise((resolve) => {
      setTimeout(resolve, seconds * 1e3);
      this.#waiting.push(resolve);
    });
  }

  #stir() {
    for (const resolve of this.#waiting) resolve();
    this.#waiting = [];
    clearTimeout(this.#timer);
    const wait = this.#due - now();
    if (wait < Infinity && this.#channel) this.#timer = setTimeout(this.#wake, wait * 1e3 + 9);
  }

  // Hidden tabs renew when called or seen.
  #wake = ({ type } = {}) => {
    if (type === "online" && this.#error?.status === 0) this.#due = 0;
    if (now() >= this.#due && !document.hidden) this.#renew();
  };
}
