// How this works: README.md

const now = () => performance.now() / 1e3; // seconds, not by the wall clock

export class DaypassError extends Error {
  constructor({ status = 0, error = "unreachable", error_description = error, retryAfter }) {
    super(error_description);
    Object.assign(this, { status, error, retryAfter });
  }
}

// A dead cookie, or none.
const gone = ({ status, error }) => status === 400 && /^invalid_[gr]/.test(error);
const refused = ({ status }) => status === 401 || status === 403;

export class Daypass extends EventTarget {
  #options; #name; #channel; #timer; #renewing; #error; #ended; #store;
  #ticket; // undefined until known
  #due = Infinity; // to renew or try again
  #failures = 0;
  #calm = 0; // no renewal for a refusal before
  #waiting = []; // for news; each makes a new array

  constructor(options) {
    super();
    if (!isSecureContext) throw new DaypassError({ error: "insecure_context" });
    this.#options = { fetch, origins: [], ...options };
    this.#name = `daypass ${options.url} ${options.clientId}`;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    addEventListener("online", this.#wake, true);
    addEventListener("visibilitychange", this.#wake, true);
    addEventListener("resume", this.#wake, true);
  }

  close() {
    removeEventListener("online", this.#wake, true);
    removeEventListener("visibilitychange", this.#wake, true);
    removeEventListener("resume", this.#wake, true);
    clearTimeout(this.#timer);
    this.#channel.close();
    this.#channel = null;
  }

  get state() {
    return this.#ticket ? "signed-in" : this.#ticket === null ? "signed-out" : "starting";
  }

  get session() {
    if (!this.#ticket) return null;
    const { session_id, scope, end } = this.#ticket;
    return { sessionId: session_id, scope, expiresIn: Math.max(0, Math.floor(end - now())) };
  }

  async start() {
    if (this.#ticket === undefined) await this.#renew();
    return this.state;
  }

  login({ username, password }) {
    return this.#inTurn(async () => {
      const { scope } = this.#options;
      this.#share(await this.#post("/login", { username, password, scope }), "login");
    });
  }

  logout({ everywhere = false } = {}) {
    return this.#inTurn(async () => {
      if (everywhere) await this.#refresh();
      if (everywhere && this.#error) throw this.#error;
      let dead = everywhere && !this.#ticket; // and ends no others
      await this.#post("/revoke", { all: everywhere }).catch((error) => {
        if (!gone(error)) throw error;
        dead = everywhere;
      });
      this.#share(null, "logout");
      if (dead) throw new DaypassError({ status: 401, error: "signed_out" });
    });
  }

  async fetch(input, init) {
    const request = new Request(input, init);
    const { url, origins, fetch } = this.#options;
    const { origin } = new URL(request.url);
    if (![url, location, ...origins].some((own) => new URL(own).origin === origin)) {
      throw new DaypassError({ error: "foreign_origin" });
    }
    const send = async ({ access_token }) => {
      const copy = request.clone();
      copy.headers.set("authorization", "Bearer " + access_token);
      return fetch(copy);
    };
    const ticket = await this.#valid();
    const first = send(ticket);
    // Across origins, a refusal may be an error.
    const answer = await first.catch(() => {
      if (origin === location.origin || request.signal.aborted) return first;
    });
    if (answer && !refused(answer)) return answer;
    if (ticket === this.#ticket && !this.#error && now() >= this.#calm) await this.#renew();
    const next = this.#ticket;
    if (next && next !== ticket) {
      this.#calm = now() + 60;
      if (answer || /^(GET|HEAD)$/.test(request.method)) {
        const second = await send(next);
        if (!refused(second)) this.#calm = 0; // it has helped
        return second;
      }
    } else if (answer && this.#error) throw this.#error;
    return first;
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
      const wait = this.#due - now();
      if (!this.#error || wait <= 0) await this.#renew();
      else if (this.#due > limit) throw this.#error;
      else await this.#pause(wait);
    }
  }

  #renew() {
    const waiting = this.#waiting;
    const asked = now();
    return (this.#renewing ??= this.#inTurn(async () => {
      // Messages may be slower than the lock.
      if (waiting === this.#waiting) {
        this.#tell({ ask: true });
        await this.#pause(Math.min(1, 0.1 + 5 * (now() - asked)));
      }
      if (waiting === this.#waiting) await this.#refresh();
    }).finally(() => (this.#renewing = null)));
  }

  // One tab at a time.
  async #inTurn(work) {
    let turn;
    const run = () => (turn ??= work());
    await navigator.locks.request(this.#name, { signal: AbortSignal.timeout(1e4) }, run).catch(run);
    return turn;
  }

  async #refresh() {
    // The same until answered: the server knows a retry by it.
    let key = crypto.randomUUID();
    try {
      key = (this.#store ??= localStorage)[this.#name] ??= key;
    } catch {
      this.#store = { [this.#name]: key };
    }
    try {
      const ticket = await this.#post("/refresh", { grant_type: "refresh_token" }, { "idempotency-key": key });
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

  async #post(path, body, headers) {
    const sent = now();
    const { url, clientId: client_id, fetch } = this.#options;
    let response, answer;
    try {
      response = await fetch(url + path, {
        method: "POST",
        signal: AbortSignal.timeout(1e4),
        credentials: "include",
        redirect: "error",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ client_id, ...body }),
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
      if (!own || own.session_id === old) return this.#settle(null, reason === "logout" ? "other-tab" : reason);
      this.#due = 0;
      this.#renew();
    } else if (ticket.access_token !== own?.access_token && (!answer || this.#renewing)) {
      this.#settle({ ...ticket, end: now() + left }, "other-tab", by && "other-tab");
    }
  }

  #settle(ticket, reason, by) {
    if (ticket && ticket.session_id === this.#ended) return; // nothing late brings it back
    const old = this.#ticket && this.#ticket.session_id;
    const changed = old !== (ticket && ticket.session_id);
    if (old && changed) this.#ended = old;
    this.#ticket = ticket;
    this.#error = null;
    this.#failures = 0;
    this.#due = ticket ? ticket.end - Math.min(30, ticket.expires_in / 10) * (1 + Math.random()) : Infinity;
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
    if (this.#error ? type === "online" && !this.#error.status : type === "resume" && this.#ticket) this.#due = 0;
    if (now() >= this.#due && !document.hidden) this.#renew();
  };
}
