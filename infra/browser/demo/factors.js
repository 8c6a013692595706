// The second factor of the user: enrolment of an app by a QR code, its removal, and the dialog that asks for password and code.

import { byId, errorText, withBusy } from "/page.js";
import { encode } from "/qr.js";

let daypass;
let api;
let log;
/** The token of the enrolment that is under way. */
let enrolment;
/** Whether the user has a passkey. */
let hasPasskey = false;

// ---- The dialog

/** Whether the text is a one-time code; otherwise it is a recovery code. */
const proofOf = (text) => (/^\d{6}$/.test(text) ? { code: text } : { recoveryCode: text });

/**
 * Asks until `submit` succeeds or the user closes the dialog.
 *
 * @param {{ title: string, withPassword: boolean, withCode: boolean, withPasskey?: boolean, submit: (proof: object) => Promise<void> }} question
 * @returns {Promise<boolean>} whether it succeeded
 */
function askProof({ title, withPassword, withCode, withPasskey = false, submit }) {
  const dialog = byId("proof");
  const show = (needsCode) => {
    byId("proof-code-field").hidden = !needsCode;
    byId(withPassword && !needsCode ? "proof-password" : "proof-code").focus();
  };
  byId("proof-title").textContent = title;
  byId("proof-error").textContent = byId("proof-password").value = byId("proof-code").value = "";
  byId("proof-password-field").hidden = !withPassword;
  byId("proof-passkey").hidden = !withPasskey;
  dialog.returnValue = "";
  dialog.showModal();
  show(withCode);
  if (withPassword) byId("proof-password").focus();
  const send = (button, proof) =>
    withBusy(byId(button), async () => {
      try {
        await submit(proof);
        dialog.close("done");
      } catch (error) {
        const isIncomplete = error.error === "insufficient_user_authentication";
        byId("proof-error").textContent = isIncomplete ? "The second factor is missing." : errorText(error);
        if (isIncomplete || error.error === "wrong_code") show(true);
      }
    });
  byId("proof-form").onsubmit = (event) => {
    event.preventDefault();
    const code = byId("proof-code").value.replace(/\s/g, "");
    send("proof-send", { currentPassword: byId("proof-password").value, ...(code && proofOf(code)) });
  };
  // A security key without a PIN needs the password too.
  byId("proof-passkey").onclick = () =>
    send("proof-passkey", { currentPassword: byId("proof-password").value || undefined, passkey: true });
  return new Promise((resolve) => {
    dialog.onclose = () => {
      // No password stays in the page.
      byId("proof-password").value = byId("proof-code").value = "";
      resolve(dialog.returnValue === "done");
    };
  });
}

/** The hook of the module: `fetch` was denied until the user authenticates again. */
export async function onStepUp({ twoFactors }) {
  const done = await askProof({
    title: "Confirm that it is you",
    withPassword: true,
    withCode: twoFactors,
    withPasskey: hasPasskey,
    submit: (proof) => daypass.stepUp(proof),
  });
  if (done) log("Confirmed: the session has a recent authentication, and the denied call is repeated.");
  return done;
}

/** The second step of a login: by a passkey if the user has one, and otherwise by a code. */
export async function askFactor({ mfaToken, passkey }) {
  const isDone = passkey && (await daypass.loginFactor({ mfaToken, passkey }).then(() => true, () => false));
  return isDone || askProof({
    title: "Second factor",
    withPassword: false,
    withCode: true,
    submit: ({ code, recoveryCode }) => daypass.loginFactor({ mfaToken, code, recoveryCode }),
  });
}

// ---- The card

/** Calls an endpoint for second factors. Shows an error, and returns the response or undefined. */
async function call(path, method, body) {
  byId("factors-result").textContent = "";
  const init = body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  try {
    const response = await daypass.fetch(`${api}/factors${path}`, { method, ...init });
    if (response.ok) return response;
    const { error, error_description: message } = await response.json();
    byId("factors-result").textContent = error === "insufficient_user_authentication"
      ? "Nothing changed: this needs your password, and your second factor if you have one."
      : errorText({ status: response.status, error, message });
  } catch (error) {
    byId("factors-result").textContent = errorText(error);
  }
}

export async function showFactors() {
  const response = await call("", "GET");
  if (!response) return;
  const { totp, recovery_codes: codes, passkeys } = await response.json();
  hasPasskey = passkeys.length > 0;
  byId("factors-text").textContent = totp
    ? `A login needs a code of your app. You have ${codes} recovery codes.`
    : "A login needs the password alone. An authenticator app makes a stolen password useless.";
  byId("remove-factor").hidden = !totp;
  byId("add-factor").textContent = totp ? "Replace the app" : "Add an authenticator app";
}

/** Draws the QR code of a text. */
function drawQr(text) {
  const { data, size } = encode(text, { ecc: "M", border: 4 });
  const modules = data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1z`] : [])));
  byId("qr").setAttribute("viewBox", `0 0 ${size} ${size}`);
  byId("qr-modules").setAttribute("d", modules.join(""));
}

const begin = () =>
  withBusy(byId("add-factor"), async () => {
    const response = await call("/totp", "POST", {});
    if (!response) return;
    const { secret, uri, enrolment_token } = await response.json();
    enrolment = enrolment_token;
    drawQr(uri);
    byId("totp-secret").textContent = secret;
    byId("totp-code").value = "";
    byId("recovery").hidden = true;
    byId("enrol").hidden = false;
    byId("totp-code").focus();
  });

const confirm = (event) => {
  event.preventDefault();
  return withBusy(byId("enrol-send"), async () => {
    const code = byId("totp-code").value.replace(/\s/g, "");
    const response = await call("/totp/confirm", "POST", { enrolment_token: enrolment, code, language: navigator.language });
    if (!response) return;
    const { recovery_codes: codes } = await response.json();
    closeEnrolment();
    byId("recovery-codes").replaceChildren(...codes.map((code) => Object.assign(document.createElement("li"), { textContent: code })));
    byId("recovery").hidden = false;
    await showFactors();
    log("Added: the next login needs a code of the app.");
    byId("recovery-title").focus();
  });
};

const remove = () =>
  withBusy(byId("remove-factor"), async () => {
    if (!(await call("/totp", "DELETE"))) return;
    byId("recovery").hidden = true;
    await showFactors();
    log("Removed: a login needs the password alone.");
    byId("factors-title").focus();
  });

function closeEnrolment() {
  enrolment = undefined;
  byId("enrol").hidden = true;
  byId("totp-secret").textContent = "";
  byId("qr-modules").setAttribute("d", "");
}

/** Removes what belongs to the user who was signed in. */
export function clearFactors() {
  closeEnrolment();
  hasPasskey = false;
  byId("recovery").hidden = true;
  byId("recovery-codes").replaceChildren();
  for (const id of ["factors-text", "factors-result"]) byId(id).textContent = "";
}

export function startFactors(page) {
  ({ daypass, api, log } = page);
  byId("add-factor").addEventListener("click", begin);
  byId("enrol").addEventListener("submit", confirm);
  byId("enrol-back").addEventListener("click", () => (closeEnrolment(), byId("add-factor").focus()));
  byId("remove-factor").addEventListener("click", remove);
  byId("proof-back").addEventListener("click", () => byId("proof").close());
}
