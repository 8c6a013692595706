// The demo page shows what @daypass/browser does. It knows the session through the module's public API only and never sees a
// token. Text from the server is inserted as text, never as HTML.

import { Daypass } from "/daypass.js";
import { byId, duration, errorText, withBusy } from "/page.js";
import { closeForms, isFormOpen, openLink, startForms } from "/account.js";
import { askFactor, clearFactors, onStepUp, showFactors, startFactors } from "/factors.js";

const timeFormat = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const dateTimeFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const dateFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });

/** Older lines of the log are removed. */
const MAX_LOG_LINES = 50;

/** Whether to bind tokens to a key of this browser: `?dpop` in the address. */
const dpop = new URLSearchParams(location.search).has("dpop");

let settings;
let daypass;
/** Whether the user just logged in or out in this tab: only then may the focus move. */
let userActed = false;
/** Numbers the requests for the list of sessions: an older response must not replace a newer one. */
let listRequests = 0;

// ---- Texts

/** The message for an error response to a call with the ticket. */
function responseText({ status, headers }) {
  if (status === 401 || status === 403) return `The API rejected the ticket (${status}).`;
  return errorText({ status, retryAfter: Number(headers.get("retry-after")) });
}

// ---- The two tokens

function showState() {
  const { state, session } = daypass;
  const signedIn = state === "signed-in";
  byId("state").textContent = { starting: "Starting", "signed-in": "Signed in", "signed-out": "Signed out" }[state];
  byId("state").classList.toggle("in", signedIn);
  byId("signed-in").hidden = byId("factors").hidden = !signedIn || isFormOpen();
  byId("signed-out").hidden = state !== "signed-out" || isFormOpen();
  byId("pass").textContent = signedIn ? "In this browser." : state === "starting" ? "Checking ..." : "None. Log in to get one.";
  byId("cookies").textContent = JSON.stringify(document.cookie);
  document.title = `${signedIn ? "Signed in" : "Signed out"} - Daypass demo`;
  if (!signedIn) {
    byId("sessions").replaceChildren();
    clearFactors();
    for (const id of ["call-result", "sessions-result", "log-out-error"]) byId(id).textContent = "";
  }
  if (session) byId("who-sid").textContent = session.sessionId;
  showTicket();
}

function showTicket() {
  const left = daypass.session?.expiresIn;
  const bar = byId("time-left");
  bar.hidden = left === undefined;
  if (left === undefined) {
    byId("ticket").textContent = "None. The day pass buys one.";
    return;
  }
  bar.max = Math.max(settings.access_token_seconds, left);
  bar.value = left;
  const text = left > 0 ? `Valid for ${duration(left)}.` : "Expired. The next call gets a new one.";
  byId("ticket").textContent = text;
  bar.setAttribute("aria-valuetext", text);
}

// ---- Activity

function log(text) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  const now = new Date();
  time.dateTime = now.toISOString();
  time.textContent = timeFormat.format(now);
  const what = document.createElement("span");
  what.textContent = text;
  line.append(time, what);
  byId("log").prepend(line);
  byId("log").children[MAX_LOG_LINES]?.remove();
  byId("log-empty").hidden = true;
}

/** The line of the log for a `change`, or null. */
function changeText(state, reason, previousState) {
  const signedIn = state === "signed-in";
  return {
    login: "Logged in: a day pass and the first ticket.",
    logout: "Logged out: the day pass is revoked and the ticket deleted.",
    ended: "Signed out: the day pass was rejected. The session was ended elsewhere.",
    start: signedIn ? "Welcome back: the day pass is still valid, without a password." : null,
    "other-tab": !signedIn
      ? "Logged out in another tab."
      : previousState === "starting" ? "Signed in: another tab shared its ticket." : "Logged in in another tab.",
  }[reason];
}

function onChange({ detail: { state, reason } }, previousState) {
  const signedIn = state === "signed-in";
  const wasSignedOut = previousState === "signed-in" && !signedIn;
  const text = changeText(state, reason, previousState);
  if (text) log(text);
  showNotice(wasSignedOut && reason !== "logout" ? text : null);
  const focused = document.activeElement;
  if (wasSignedOut) closeForms("email");
  showState();
  // Move the focus if the user acted here, or if the focused element is now hidden.
  if (userActed || (!isFormOpen() && focused !== document.body && focused.closest("[hidden]"))) {
    byId(signedIn ? "who-title" : "login-title").focus();
  }
  userActed = false;
  if (wasSignedOut) offerPasskeys();
  if (signedIn) {
    byId("password").value = "";
    showLoginError("");
    callApi();
    showSessions();
    showFactors();
  }
}

function onRenewed({ detail: { by } }) {
  log(by === "this-tab" ? "New ticket, bought by this tab." : "New ticket, bought by another tab.");
  showNotice(null);
  showTicket();
  if (daypass.state === "signed-in") showSessions();
}

function showNotice(text) {
  byId("notice").hidden = !text;
  byId("notice").textContent = text ?? "";
}

// ---- Login and logout

/** Runs while the server makes the user wait. */
let loginTimer;

function showLoginError(text, invalid = false) {
  clearInterval(loginTimer);
  byId("login-error").textContent = text;
  byId("password").setAttribute("aria-invalid", String(invalid));
}

/** Shows how long to wait, and later that the wait is over. A countdown would disturb users of a screen reader. */
function showLoginDelay(error) {
  showLoginError(errorText(error));
  const until = performance.now() + 1000 * (error.retryAfter || 60);
  loginTimer = setInterval(() => {
    if (performance.now() >= until) showLoginError("You can try again now.");
  }, 1000);
}

async function logIn(event) {
  event.preventDefault();
  const [username, password] = [byId("username").value.trim(), byId("password").value];
  if (!username || !password) {
    showLoginError(username ? "The password is missing." : "The user is missing.");
    byId(username ? "password" : "username").focus();
    return;
  }
  showLoginError("");
  await withBusy(byId("log-in"), async () => {
    userActed = true;
    try {
      await daypass.login({ username, password });
    } catch (error) {
      if (error.error === "mfa_required" && (await askFactor(error))) return;
      userActed = false;
      if (error.error === "mfa_required") return byId("password").focus();
      if (error.status === 429 || error.status === 503) showLoginDelay(error);
      else showLoginError(errorText(error), error.status === 401);
      byId("password").focus();
      byId("password").select();
    }
  });
}

/** Logs in with a passkey: at once, or when the user takes one in the list of the name field. */
async function logInWithPasskey(conditional) {
  try {
    userActed ||= !conditional;
    await daypass.signInWithPasskey({ conditional });
  } catch (error) {
    userActed = false;
    // A later request took its place. Without passkeys, the form has no list of them.
    if (error.name === "AbortError" || (conditional && error.error !== "wrong_passkey")) return;
    showLoginError(error.status === 404 ? "This server has no passkeys." : errorText(error));
    if (!conditional) offerPasskeys();
  }
}

const offerPasskeys = () => daypass.state === "signed-out" && logInWithPasskey(true);

const addPasskey = () =>
  withBusy(byId("add-passkey"), async () => {
    byId("log-out-error").textContent = "";
    try {
      await daypass.registerPasskey(`Passkey of ${deviceName({ device: navigator.userAgent })}`);
      await showFactors();
      log("Added a passkey: the next login needs no password.");
    } catch (error) {
      byId("log-out-error").textContent = errorText(error);
    }
  });

const SIGNED_OUT_HERE_ONLY =
  "You are signed out here. This session had already ended, so your other sessions were not ended: log in again to end them.";

const logOut = (button, everywhere) =>
  withBusy(button, async () => {
    userActed = true;
    byId("log-out-error").textContent = "";
    try {
      await daypass.logout({ everywhere });
    } catch (error) {
      userActed = false;
      if (error.error === "signed_out") showNotice(SIGNED_OUT_HERE_ONLY);
      else byId("log-out-error").textContent = `You are still logged in. ${errorText(error)}`;
    }
  });

// ---- The API

async function callApi() {
  const startedAt = performance.now();
  try {
    const response = await daypass.fetch(`${settings.api}/whoami`);
    const tookMs = Math.round(performance.now() - startedAt);
    if (response.ok) {
      const who = await response.json();
      for (const name of ["sub", "sid", "client_id", "scope"]) byId(`who-${name}`).textContent = who[name] ?? "";
    }
    byId("call-result").textContent = `GET /whoami: ${response.status} in ${tookMs} ms, at ${timeFormat.format(new Date())}`;
  } catch (error) {
    byId("call-result").textContent = errorText(error);
  }
}

async function showSessions() {
  const request = ++listRequests;
  let text = "";
  let sessions = [];
  try {
    const response = await daypass.fetch(`${settings.api}/sessions`);
    if (response.ok) {
      const list = await response.json();
      sessions = list.sessions;
      if (list.total > sessions.length) text = `${sessions.length} of ${list.total} sessions.`;
    } else {
      text = response.status === 404
        ? "This server has no list of sessions."
        : responseText(response);
    }
  } catch (error) {
    text = errorText(error);
  }
  if (request !== listRequests || daypass.state !== "signed-in") return;
  if (text === "" || sessions.length > 0) {
    renderSessions(sessions);
    const current = sessions.find((session) => session.current);
    if (current) byId("pass").textContent = `In this browser, valid until ${dateFormat.format(current.expires_at * 1000)}.`;
  }
  byId("sessions-result").textContent = text;
}

/** Renders the list and keeps the focus. */
function renderSessions(sessions) {
  const focused = document.activeElement?.dataset?.session;
  byId("sessions").replaceChildren(...sessions.map(renderSession));
  if (focused) (byId("sessions").querySelector(`[data-session="${CSS.escape(focused)}"]`) ?? byId("sessions-title")).focus();
}

function renderSession(session) {
  const item = document.createElement("li");
  const text = document.createElement("div");
  const name = document.createElement("p");
  name.className = "name";
  name.textContent = deviceName(session);
  if (session.current) {
    const badge = document.createElement("span");
    badge.textContent = "this one";
    name.append(badge);
  }
  const when = document.createElement("p");
  when.className = "when";
  when.textContent =
    `Client ${session.client_id}, since ${dateTimeFormat.format(session.created_at * 1000)}, ` +
    `last used ${dateTimeFormat.format(session.last_used_at * 1000)}`;
  text.append(name, when);
  item.append(text, endButton(session));
  return item;
}

function endButton(session) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.session = session.session_id;
  button.textContent = "End";
  button.setAttribute(
    "aria-label",
    session.current
      ? "End this session, which logs you out here"
      : `End the session of ${deviceName(session)} since ${dateTimeFormat.format(session.created_at * 1000)}`,
  );
  button.addEventListener("click", () => (session.current ? logOut(button, false) : endSession(button, session)));
  return button;
}

const endSession = (button, session) =>
  withBusy(button, async () => {
    let text;
    try {
      const url = `${settings.api}/sessions/${encodeURIComponent(session.session_id)}`;
      const response = await daypass.fetch(url, { method: "DELETE" });
      text = response.ok || response.status === 404
        ? `Ended: ${deviceName(session)}. That device is signed out at its next renewal.`
        : responseText(response);
    } catch (error) {
      text = errorText(error);
    }
    await showSessions();
    byId("sessions-result").textContent = text;
    if (document.activeElement === document.body) byId("sessions-title").focus();
  });

/** Browser and system according to the device's `User-Agent`, which may be any text. */
function deviceName({ device: text }) {
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

function showOrigins() {
  const [own, second] = settings.origins;
  const here = location.origin;
  const place = here === settings.api
    ? `This page is on ${here}, the origin of the API.`
    : `This page is on ${here} and calls the API at ${settings.api}, across origins.`;
  byId("place").textContent = dpop ? `${place} Its tokens are bound to a key of this browser (DPoP).` : place;
  byId("second-tab").href = `/${location.search}`;
  byId("other-origin").href = `${here === own ? second : own}/${location.search}`;
  byId("other-origin").textContent = here === own ? "on another origin than the API" : "on the origin of the API";
  byId("other").hidden = false;
}

/** For an address such as 127.0.0.1: the client is registered for other origins, and the cookie belongs to another host. */
function showWrongOrigin() {
  showNotice("The demo is not registered for this address. Open it here: ");
  const link = document.createElement("a");
  link.href = `${settings.origins[0]}/`;
  link.textContent = link.href;
  byId("notice").append(link);
  byId("state").textContent = "Wrong address";
}

function showSettings() {
  byId("life").textContent = `${duration(settings.access_token_seconds)}, then the day pass buys the next`;
  byId("username").value = settings.username;
  byId("hint-user").textContent = settings.username;
  byId("hint-password").textContent = settings.password;
  byId("hint").hidden = false;
}

function addListeners() {
  let previousState = daypass.state;
  daypass.addEventListener("change", (event) => {
    onChange(event, previousState);
    previousState = event.detail.state;
  });
  daypass.addEventListener("renewed", onRenewed);
  byId("login").addEventListener("submit", logIn);
  byId("passkey-log-in").addEventListener("click", () => withBusy(byId("passkey-log-in"), () => logInWithPasskey(false)));
  byId("add-passkey").addEventListener("click", addPasskey);
  byId("fill-in").addEventListener("click", () => {
    [byId("username").value, byId("password").value] = [settings.username, settings.password];
    byId("log-in").focus();
  });
  byId("call").addEventListener("click", () => withBusy(byId("call"), callApi));
  byId("reload-sessions").addEventListener("click", () => withBusy(byId("reload-sessions"), showSessions));
  byId("log-out").addEventListener("click", () => logOut(byId("log-out"), false));
  byId("log-out-everywhere").addEventListener("click", () => logOut(byId("log-out-everywhere"), true));
  addEventListener("hashchange", openLink);
  addEventListener("offline", () => showNotice("You are offline. The day pass stays valid: this page renews when you are online."));
  addEventListener("online", () => showNotice(null));
  setInterval(showTicket, 1000);
}

async function start() {
  try {
    const response = await fetch("/demo.json");
    settings = await response.json();
  } catch {
    showNotice("The server of this page does not answer. Start cargo dev, then reload.");
    return;
  }
  if (!settings.origins.includes(location.origin)) return showWrongOrigin();
  showOrigins();
  showSettings();
  daypass = new Daypass({ url: settings.api, clientId: settings.client_id, dpop, onStepUp });
  addListeners();
  startFactors({ daypass, api: settings.api, log });
  startForms({
    daypass,
    onView: showState,
    onDone: (text) => {
      log(text);
      showNotice(text);
      byId(daypass.state === "signed-in" ? "who-title" : "login-title").focus();
    },
  });
  showState();
  await daypass.start();
  offerPasskeys();
  if (daypass.state === "starting") showNotice("The server cannot be reached. This page keeps trying.");
}

start();
