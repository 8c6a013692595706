// What the scripts of the demo page share.

export const byId = (id) => document.getElementById(id);

const seconds = (n) => `${n} second${n === 1 ? "" : "s"}`;

export function duration(total) {
  const minutes = Math.floor(total / 60);
  if (total > 0 && total % 60 === 0) return `${minutes} minute${minutes === 1 ? "" : "s"}`;
  return minutes > 0 ? `${minutes} min ${String(total % 60).padStart(2, "0")} s` : `${total} s`;
}

const wait = (total) => (total < 120 ? seconds(total) : `${Math.ceil(total / 60)} minutes`);

/** The message for an error of the module, or of `fetch`, which has no status. */
export function errorText({ name, status, error, message, retryAfter }) {
  // The browser asks for a passkey, and the user cancels.
  if (name === "NotAllowedError") return "No passkey was used.";
  if (name === "InvalidStateError") return "This device has a passkey of this user.";
  if (error === "no_passkeys") return "This browser is too old for passkeys.";
  if (error === "insufficient_user_authentication") return "Log in again first.";
  if (error === "no_key") return "This browser cannot keep a key, because IndexedDB is not available.";
  if (!navigator.onLine) return "You are offline. Try again when you are online.";
  if (!status) return "The server cannot be reached. Is it still running?";
  if (error === "signed_out") return "You are signed out.";
  if (error === "wrong_password") return "The current password is wrong.";
  if (error === "invalid_token") return "This link or code is not valid, or it was used. Request another mail.";
  if (error === "wrong_code") return "The code is wrong, or it was used.";
  if (status === 400) return message || "The server does not understand the request.";
  if (status === 404) return "This server sends no mails.";
  if (status === 401) return "Wrong user name or password.";
  if (status === 403) return "The server denies logins from this address.";
  if (status === 429) return `Too many attempts. Try again in ${wait(retryAfter || 60)}.`;
  if (status === 503) return `The server is busy. Try again in ${seconds(retryAfter || 2)}.`;
  return `The server answered with an error (${status}). See its log.`;
}

/** Ignores clicks while `work` runs. `disabled` would do so too, but takes the focus from the button. */
export async function withBusy(button, work) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    await work();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}
