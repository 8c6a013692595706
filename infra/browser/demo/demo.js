// The demo page: what @daypass/browser does, made visible. Everything it knows of the session comes from the module's
// public side; there is no token in this file. Texts from the server go in as text, never as HTML.

import { Daypass } from "/daypass.js";

const at = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });

/** Most lines of the log that stay. */
const LINES = 50;

let settings;
let daypass;
/** What the person asked for in this tab; then the focus may move. */
let asked = false;
/** Each look at the sessions has a number, so that a late answer does not overwrite a newer one. */
let look = 0;

// ---- Sentences

const seconds = (n) => `${n} second${n === 1 ? "" : "s"}`;

function span(total) {
  const minutes = Math.floor(total / 60);
  if (total > 0 && total % 60 === 0) return `${minutes} minute${minutes === 1 ? "" : "s"}`;
  return minutes > 0 ? `${minutes} min ${String(total % 60).padStart(2, "0")} s` : `${total} s`;
}

/** What went wrong, for a person: an error of the module, or of `fetch`, which has no status. */
function sentence({ status, error, retryAfter }) {
  if (!navigator.onLine) return "You are offline. Nothing is lost: try again when you are back.";
  if (!status) return "The server cannot be reached. Is it still running?";
  if (error === "signed_out") return "You are signed out.";
  if (status === 401) return "This user and this password do not belong together.";
  if (status === 403) return "The server takes no logins from pages of this address.";
  if (status === 429) return `Too many attempts. Try again in ${seconds(retryAfter || 60)}.`;
  if (status === 503) return `The server is busy. Try again in ${seconds(retryAfter || 2)}.`;
  return `The server answered with an error (${status}). Its log says why.`;
}

/** As `sentence`, of an answer to a call with the ticket. */
function refusal({ status, headers }) {
  if (status === 401 || status === 403) return `The server does not take this ticket (${status}).`;
  return sentence({ status, retryAfter: Number(headers.get("retry-after")) });
}

// ---- The two tokens

function showState() {
  const { state, session } = daypass;
  const inside = state === "signed-in";
  at("state").textContent = { starting: "Starting", "signed-in": "Signed in", "signed-out": "Signed out" }[state];
  at("state").classList.toggle("in", inside);
  at("signed-in").hidden = !inside;
  at("signed-out").hidden = state !== "signed-out";
  at("pass").textContent = inside ? "In this browser." : state === "starting" ? "Let us see ..." : "None: log in to get one.";
  at("cookies").textContent = JSON.stringify(document.cookie);
  document.title = `${inside ? "Signed in" : "Signed out"} - Daypass demo`;
  if (!inside) {
    at("sessions").replaceChildren();
    for (const id of ["call-result", "sessions-result", "log-out-error"]) at(id).textContent = "";
  }
  if (session) at("who-sid").textContent = session.sessionId;
  showTicket();
}

function showTicket() {
  const left = daypass.session?.expiresIn;
  const bar = at("left");
  bar.hidden = left === undefined;
  if (left === undefined) {
    at("ticket").textContent = "None: the day pass buys it.";
    return;
  }
  bar.max = Math.max(settings.access_token_seconds, left);
  bar.value = left;
  const text = left > 0 ? `Good for ${span(left)} more.` : "Used up: the next call gets another.";
  at("ticket").textContent = text;
  bar.setAttribute("aria-valuetext", text);
}

// ---- What happens

function note(text) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  const now = new Date();
  time.dateTime = now.toISOString();
  time.textContent = clock.format(now);
  const what = document.createElement("span");
  what.textContent = text;
  line.append(time, what);
  at("log").prepend(line);
  at("log").children[LINES]?.remove();
  at("log-empty").hidden = true;
}

function onChange({ detail: { state, reason } }, before) {
  const inside = state === "signed-in";
  const lost = before === "signed-in" && !inside;
  const text = {
    login: "Logged in: a day pass, and the first ticket.",
    logout: "Logged out: the day pass is ended, the ticket thrown away.",
    ended: "Signed out: the day pass is no good any more. The session was ended elsewhere.",
    start: inside ? "Welcome back: the day pass is still good, and no password was needed." : null,
    "other-tab": !inside
      ? "Logged out in another tab."
      : before === "starting" ? "Signed in: another tab shared its ticket." : "Logged in in another tab.",
  }[reason];
  if (text) note(text);
  notice(lost && reason !== "logout" ? text : null);
  const focused = document.activeElement;
  showState();
  // The focus goes along when the person did it here, or when what had it is gone.
  if (asked || (focused !== document.body && focused.closest("[hidden]"))) {
    at(inside ? "who-title" : "login-title").focus();
  }
  asked = false;
  if (inside) {
    at("password").value = "";
    loginError("");
    call();
    showSessions();
  }
}

function onRenewed({ detail: { by } }) {
  note(by === "this-tab" ? "New ticket, bought by this tab." : "New ticket, bought by another tab.");
  notice(null);
  showTicket();
  if (daypass.state === "signed-in") showSessions();
}

function notice(text) {
  at("notice").hidden = !text;
  at("notice").textContent = text ?? "";
}

// ---- Log in and out

let wait;

function loginError(text, invalid = false) {
  clearInterval(wait);
  at("login-error").textContent = text;
  at("password").setAttribute("aria-invalid", String(invalid));
}

/** Says once how long to wait, and later that it is over; the seconds in between would only be noise to a screen reader. */
function waitToLogIn(error) {
  loginError(sentence(error));
  const until = performance.now() + 1000 * (error.retryAfter || 60);
  wait = setInterval(() => {
    if (performance.now() >= until) loginError("You can try again now.");
  }, 1000);
}

async function logIn(event) {
  event.preventDefault();
  const [username, password] = [at("username").value.trim(), at("password").value];
  if (!username || !password) {
    loginError(username ? "The password is missing." : "The user is missing.");
    at(username ? "password" : "username").focus();
    return;
  }
  loginError("");
  await busy(at("log-in"), async () => {
    asked = true;
    try {
      await daypass.login({ username, password });
    } catch (error) {
      asked = false;
      if (error.status === 429 || error.status === 503) waitToLogIn(error);
      else loginError(sentence(error), error.status === 401);
      at("password").focus();
      at("password").select();
    }
  });
}

const ONLY_HERE =
  "You are signed out here. This session had ended already, so your other sessions were not ended: log in again to end them.";

const logOut = (button, everywhere) =>
  busy(button, async () => {
    asked = true;
    at("log-out-error").textContent = "";
    try {
      await daypass.logout({ everywhere });
    } catch (error) {
      asked = false;
      if (error.error === "signed_out") notice(ONLY_HERE);
      else at("log-out-error").textContent = `You are still logged in. ${sentence(error)}`;
    }
  });

/** One click at a time. The button keeps the focus, which `disabled` would take away. */
async function busy(button, work) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    await work();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

// ---- The API

async function call() {
  const before = performance.now();
  try {
    const answer = await daypass.fetch(`${settings.api}/whoami`);
    const took = Math.round(performance.now() - before);
    if (answer.ok) {
      const who = await answer.json();
      for (const name of ["sub", "sid", "client_id", "scope"]) at(`who-${name}`).textContent = who[name] ?? "";
    }
    at("call-result").textContent = `GET /whoami: ${answer.status} in ${took} ms, at ${clock.format(new Date())}`;
  } catch (error) {
    at("call-result").textContent = sentence(error);
  }
}

async function showSessions() {
  const own = ++look;
  let text = "";
  let sessions = [];
  try {
    const answer = await daypass.fetch(`${settings.api}/sessions`);
    if (answer.ok) {
      const list = await answer.json();
      sessions = list.sessions;
      if (list.total > sessions.length) text = `These are ${sessions.length} of ${list.total}.`;
    } else {
      text = answer.status === 404
        ? "This server has no list of sessions."
        : refusal(answer);
    }
  } catch (error) {
    text = sentence(error);
  }
  if (own !== look || daypass.state !== "signed-in") return;
  if (text === "" || sessions.length > 0) {
    draw(sessions);
    const current = sessions.find((session) => session.current);
    if (current) at("pass").textContent = `In this browser, good until ${day.format(current.expires_at * 1000)}.`;
  }
  at("sessions-result").textContent = text;
}

/** Draws the list anew and leaves the focus where it was. */
function draw(sessions) {
  const focused = document.activeElement?.dataset?.session;
  at("sessions").replaceChildren(...sessions.map(sessionItem));
  if (focused) (at("sessions").querySelector(`[data-session="${CSS.escape(focused)}"]`) ?? at("sessions-title")).focus();
}

function sessionItem(session) {
  const item = document.createElement("li");
  const text = document.createElement("div");
  const name = document.createElement("p");
  name.className = "name";
  name.textContent = device(session);
  if (session.current) {
    const badge = document.createElement("span");
    badge.textContent = "this one";
    name.append(badge);
  }
  const when = document.createElement("p");
  when.className = "when";
  when.textContent =
    `Client ${session.client_id}, since ${moment.format(session.created_at * 1000)}, ` +
    `last used ${moment.format(session.last_used_at * 1000)}`;
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.session = session.session_id;
  button.textContent = "End";
  button.setAttribute(
    "aria-label",
    session.current
      ? "End this session, which logs you out here"
      : `End the session of ${device(session)} since ${moment.format(session.created_at * 1000)}`,
  );
  button.addEventListener("click", () => (session.current ? logOut(button, false) : end(button, session)));
  text.append(name, when);
  item.append(text, button);
  return item;
}

const end = (button, session) =>
  busy(button, async () => {
    let text;
    try {
      const url = `${settings.api}/sessions/${encodeURIComponent(session.session_id)}`;
      const answer = await daypass.fetch(url, { method: "DELETE" });
      text = answer.ok || answer.status === 404
        ? `Ended: ${device(session)}. It is signed out at its next renewal.`
        : refusal(answer);
    } catch (error) {
      text = sentence(error);
    }
    await showSessions();
    at("sessions-result").textContent = text;
    if (document.activeElement === document.body) at("sessions-title").focus();
  });

/** Browser and system, as far as the text that the device gave tells them. */
function device({ device: text }) {
  if (!text) return "Unknown device";
  const first = (table) => table.find(([pattern]) => pattern.test(text))?.[1];
  const browser = first([
    [/Edg\//, "Edge"], [/OPR\//, "Opera"], [/Firefox\//, "Firefox"], [/Chrom(e|ium)\//, "Chromium"], [/Safari\/|Version\//, "Safari"],
  ]);
  const system = first([
    [/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Mac OS X/, "macOS"], [/Windows/, "Windows"], [/Linux|X11/, "Linux"],
  ]);
  if (!browser && !system) return text;
  return [browser ?? "Browser", system].filter(Boolean).join(" on ");
}

// ---- Start

function showPlace() {
  const [own, second] = settings.origins;
  const here = location.origin;
  at("place").textContent = here === settings.api
    ? `This page is on ${here}, the API's own origin.`
    : `This page is on ${here} and calls the API at ${settings.api}, across origins.`;
  at("second-tab").href = "/";
  at("elsewhere").href = `${here === own ? second : own}/`;
  at("elsewhere").textContent = here === own ? "on another origin than the API's" : "on the API's own origin";
  at("other").hidden = false;
}

/** A page at 127.0.0.1, say: the client is registered for other origins, and the cookie belongs to another host. */
function showWrongPlace() {
  notice("The demo is not registered for this address. Open it here: ");
  const link = document.createElement("a");
  link.href = `${settings.origins[0]}/`;
  link.textContent = link.href;
  at("notice").append(link);
  at("state").textContent = "Not here";
}

async function start() {
  try {
    const answer = await fetch("/demo.json");
    settings = await answer.json();
  } catch {
    notice("The server of this page does not answer. Start cargo dev, then reload.");
    return;
  }
  if (!settings.origins.includes(location.origin)) return showWrongPlace();
  showPlace();
  at("life").textContent = `${span(settings.access_token_seconds)}; then the day pass buys another`;
  at("username").value = settings.username;
  at("hint-user").textContent = settings.username;
  at("hint-password").textContent = settings.password;
  at("hint").hidden = false;

  daypass = new Daypass({ url: settings.api, clientId: settings.client_id });
  let before = daypass.state;
  daypass.addEventListener("change", (event) => {
    onChange(event, before);
    before = event.detail.state;
  });
  daypass.addEventListener("renewed", onRenewed);
  at("login").addEventListener("submit", logIn);
  at("fill-in").addEventListener("click", () => {
    [at("username").value, at("password").value] = [settings.username, settings.password];
    at("log-in").focus();
  });
  at("call").addEventListener("click", () => busy(at("call"), call));
  at("reload-sessions").addEventListener("click", () => busy(at("reload-sessions"), showSessions));
  at("log-out").addEventListener("click", () => logOut(at("log-out"), false));
  at("log-out-everywhere").addEventListener("click", () => logOut(at("log-out-everywhere"), true));
  addEventListener("offline", () => notice("You are offline. The day pass stays good: this page renews when you are back."));
  addEventListener("online", () => notice(null));
  setInterval(showTicket, 1000);
  showState();
  await daypass.start();
  if (daypass.state === "starting") notice("The server cannot be reached. This page goes on trying.");
}

start();
