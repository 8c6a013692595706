// The forms of accounts: sign-up, a forgotten password, another address. Each first asks for a mail, and then for its code.
// A link of a mail opens the second form directly. It confirms nothing until the user presses the button.

import { takeMailToken } from "/daypass.js";
import { byId, errorText, withBusy } from "/page.js";

/** Where the request for a mail survives a reload. It is worthless without the code of the mail. */
const STORED = "daypass-demo-mail";

const TEXTS = {
  signup: {
    ask: ["Create an account", "You get a mail, and set your password when you confirm it."],
    confirm: ["Confirm your account", "Create the account"],
    done: "Your account is ready. Log in with your e-mail address.",
  },
  invitation: {
    confirm: ["Accept the invitation", "Create the account"],
    done: "Your account is ready. Log in with your e-mail address.",
  },
  reset: {
    ask: ["Forgot the password?", "You get a mail if there is an account with this address."],
    confirm: ["Set a new password", "Set the password"],
    done: "Your password is changed, and all sessions have ended. Log in with the new password.",
  },
  email: {
    ask: ["Change the e-mail address", "The new address gets a mail. The old one stays until you confirm."],
    confirm: ["Confirm the new address", "Confirm the address"],
    done: "Your e-mail address is changed. The old address gets a notice.",
  },
};

/** The open form: null, `{ purpose }` to ask for a mail, or `{ purpose, token }` or `{ purpose, request }` to confirm. */
let view = null;
let daypass;
let onView;
let onDone;
/** The link with which the page was opened. It leaves the address bar at once. */
let link = takeMailToken();

export const isFormOpen = () => view !== null;

/** Closes the form that asks for this change. */
export function closeForms(purpose) {
  if (view?.purpose === purpose && !view.token && !view.request) view = null;
  showForms();
}

/** Opens the form of the link in the address bar. */
export function openLink() {
  link ??= takeMailToken();
  if (link) open(link);
  link = null;
}

export function startForms(page) {
  ({ daypass, onView, onDone } = page);
  for (const [id, purpose] of [["sign-up", "signup"], ["forgot", "reset"], ["change-email", "email"]]) {
    byId(id).addEventListener("click", () => open({ purpose }));
  }
  for (const id of ["ask-back", "confirm-back"]) byId(id).addEventListener("click", back);
  byId("ask-form").addEventListener("submit", ask);
  byId("confirm-form").addEventListener("submit", confirm);
  const stored = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
  if (!link && stored && stored.until > Date.now()) view = stored;
  showForms();
  openLink();
}

function open(next) {
  view = next;
  for (const id of ["ask-error", "confirm-error"]) byId(id).textContent = "";
  for (const id of ["code", "new-password", "current-password"]) byId(id).value = "";
  showForms();
  onView();
  byId(view.token || view.request ? "confirm-title" : "ask-title").focus();
}

function close() {
  view = null;
  sessionStorage.removeItem(STORED);
  for (const id of ["code", "new-password", "current-password"]) byId(id).value = "";
  showForms();
  onView();
}

function back() {
  close();
  byId(daypass.state === "signed-in" ? "who-title" : "login-title").focus();
}

function showForms() {
  const isConfirm = Boolean(view?.token || view?.request);
  byId("ask").hidden = !view || isConfirm;
  byId("confirm").hidden = !isConfirm;
  if (!view) return;
  const { ask, confirm } = TEXTS[view.purpose];
  if (!isConfirm) {
    [byId("ask-title").textContent, byId("ask-text").textContent] = ask;
    byId("current-password-field").hidden = view.purpose !== "email";
    return;
  }
  [byId("confirm-title").textContent, byId("confirm-send").textContent] = confirm;
  byId("confirm-text").textContent = view.token
    ? "You opened the link of a mail. Press the button to confirm."
    : `If ${view.email} can get a mail, it is on its way. Open its link, or type its code here.`;
  byId("inbox").hidden = byId("code-field").hidden = Boolean(view.token);
  byId("new-password-field").hidden = view.purpose === "email";
}

/** Shows an error, and returns to the field that it is about. */
function showError(form, text, field) {
  byId(`${form}-error`).textContent = text;
  byId(field).focus();
}

/** The first visible field of a form that is empty, or undefined. */
const emptyField = (form) => [...form.elements].find((field) => field.required && !field.closest("[hidden]") && !field.value.trim());

const label = (field) => field.labels[0].textContent;

async function ask(event) {
  event.preventDefault();
  const empty = emptyField(event.target);
  if (empty) return showError("ask", `This field is missing: ${label(empty)}.`, empty.id);
  const { purpose } = view;
  const email = byId("email").value.trim();
  await withBusy(byId("ask-send"), async () => {
    const account = { email, language: navigator.language };
    const calls = {
      signup: () => daypass.signup(account),
      reset: () => daypass.recover(account),
      email: () => daypass.changeEmail({ ...account, currentPassword: byId("current-password").value }),
    };
    try {
      const { request, expiresIn } = await calls[purpose]();
      const next = { purpose, email, request, until: Date.now() + 1000 * expiresIn };
      sessionStorage.setItem(STORED, JSON.stringify(next));
      open(next);
    } catch (error) {
      const isForbidden = purpose === "signup" && error.status === 403;
      const text = isForbidden ? "This server permits no sign-up." : errorText(error);
      showError("ask", text, error.error === "wrong_password" ? "current-password" : "email");
    }
  });
}

async function confirm(event) {
  event.preventDefault();
  const empty = emptyField(event.target);
  if (empty) return showError("confirm", `This field is missing: ${label(empty)}.`, empty.id);
  const { purpose, token, request } = view;
  await withBusy(byId("confirm-send"), async () => {
    const proof = token ? { token } : { request, code: byId("code").value.replace(/\D/g, "") };
    const password = byId("new-password").value;
    const calls = {
      signup: () => daypass.confirmSignup({ ...proof, password }),
      invitation: () => daypass.confirmSignup({ ...proof, password }),
      reset: () => daypass.reset({ ...proof, password }),
      email: () => daypass.confirmEmail(proof),
    };
    try {
      await calls[purpose]();
      close();
      onDone(TEXTS[purpose].done);
    } catch (error) {
      const isCode = error.error === "invalid_token" && !token;
      showError("confirm", errorText(error), isCode ? "code" : purpose === "email" ? "confirm-title" : "new-password");
    }
  });
}
