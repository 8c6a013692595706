// Uses the types as a page does. It is compiled and never run: a line below `@ts-expect-error` must not compile, every other
// line must.

import { Daypass, DaypassError, takeMailToken } from "@daypass/browser";
import type { DaypassConfirmation, DaypassEvents, DaypassMailRequest, DaypassOptions, DaypassReason, DaypassSession, DaypassState } from "@daypass/browser";

// invariant: The types of the browser module accept what the module accepts, and nothing else.
const options: DaypassOptions = {
  url: "https://api.example.com",
  clientId: "web",
  scope: "orders:read",
  origins: ["https://orders.example.com"],
  dpop: true,
  fetch: (input, init) => fetch(input, init),
};
export const daypass = new Daypass(options);
new Daypass({ url: "https://api.example.com", clientId: "web" });
// @ts-expect-error: `clientId` is required
new Daypass({ url: "https://api.example.com" });
// @ts-expect-error: it is `clientId` here
new Daypass({ url: "https://api.example.com", clientId: "web", client_id: "web" });
// @ts-expect-error: the module makes the key
new Daypass({ url: "https://api.example.com", clientId: "web", dpop: "key" });
// @ts-expect-error: a list of origins
new Daypass({ url: "https://api.example.com", clientId: "web", origins: "https://orders.example.com" });

daypass.addEventListener("change", ({ detail: { state, reason } }) => {
  const text: `${DaypassState} ${DaypassReason}` = `${state} ${reason}`;
  // @ts-expect-error: no such state
  return state === "logged-in" ? "" : text;
});
daypass.addEventListener("renewed", ({ detail: { by } }) => by === "other-tab", { once: true });
// @ts-expect-error: `renewed` has only `by`
daypass.addEventListener("renewed", ({ detail: { reason } }) => reason);
export const listener = (event: DaypassEvents["change"]): string => event.detail.reason;
daypass.addEventListener("change", listener);

export async function all(): Promise<Response> {
  const state: DaypassState = await daypass.start();
  // @ts-expect-error: read only
  daypass.state = state;
  await daypass.login({ username: "alice", password: "correct horse" });
  // @ts-expect-error: with a password
  await daypass.login({ username: "alice" });
  const session: DaypassSession | null = daypass.session;
  // @ts-expect-error: `session` may be null
  session.sessionId.trim();
  if (session) {
    const text: string = `${session.sessionId} ${session.scope} ${session.expiresIn.toFixed()}`;
    // @ts-expect-error: the token is not readable
    text.concat(session.accessToken);
  }
  await daypass.changePassword({ currentPassword: "correct horse", newPassword: "correct battery" });
  // @ts-expect-error: with both passwords
  await daypass.changePassword({ newPassword: "correct battery" });
  const { request, expiresIn }: DaypassMailRequest = await daypass.signup({ email: "alice@example.com", language: "de" });
  const link = takeMailToken();
  const token: string | undefined = link?.token;
  // @ts-expect-error: no such purpose
  if (link?.purpose === "login") return daypass.fetch("/");
  // @ts-expect-error: the page may have none
  await daypass.confirmEmail({ token });
  const proof: DaypassConfirmation = link ?? { request, code: "12345678" };
  const { user }: { user: string } = await daypass.confirmSignup({ ...proof, password: `${expiresIn}` });
  // @ts-expect-error: the password belongs to the confirmation
  await daypass.signup({ email: "alice@example.com", password: user });
  // @ts-expect-error: a code goes with its request
  await daypass.confirmEmail({ code: "12345678" });
  await daypass.recover({ email: "alice@example.com" });
  await daypass.reset({ ...proof, password: "correct battery" });
  // @ts-expect-error: with the new password
  await daypass.reset(proof);
  await daypass.changeEmail({ currentPassword: "correct horse", email: "alice@example.org" });
  // @ts-expect-error: with the current password
  await daypass.changeEmail({ email: "alice@example.org" });
  await daypass.stepUp({ currentPassword: "correct horse", code: "123456" });
  await daypass.stepUp({ passkey: true });
  await daypass.stepUp({ currentPassword: "correct horse", passkey: true });
  // @ts-expect-error: with the current password
  await daypass.stepUp({ recoveryCode: "x" });
  // @ts-expect-error: a code or a passkey
  await daypass.stepUp({ currentPassword: "correct horse", code: "123456", passkey: true });
  new Daypass({ url: "https://api.example.com", clientId: "web", onStepUp: ({ twoFactors, maxAge }) => twoFactors || maxAge === 300 });
  await daypass.logout();
  await daypass.logout({ everywhere: true });
  // @ts-expect-error: an object of options
  await daypass.logout(true);
  daypass.close();
  return daypass.fetch(new URL("https://api.example.com/orders"), { method: "POST", signal: AbortSignal.timeout(1000) });
}

all().catch((error: unknown) => {
  if (!(error instanceof DaypassError)) throw error;
  const wait: number | undefined = error.retryAfter;
  // @ts-expect-error: `retryAfter` may be undefined
  const seconds: number = error.retryAfter;
  return [error.status.toFixed(), error.error.trim(), error.message, wait, seconds];
});
// @ts-expect-error: only the module makes them
new DaypassError({ status: 503 });
// @ts-expect-error: the constructor is private
new DaypassError();
