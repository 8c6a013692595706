// The types as a page's code meets them. It is compiled and never run: what stands below `@ts-expect-error` must not compile,
// and all else must.

import { Daypass, DaypassError } from "@daypass/browser";
import type { DaypassEvents, DaypassOptions, DaypassReason, DaypassSession, DaypassState } from "@daypass/browser";

// invariant: The types of the browser module accept what the module accepts, and nothing else.
const options: DaypassOptions = {
  url: "https://api.example.com",
  clientId: "web",
  scope: "orders:read",
  origins: ["https://orders.example.com"],
  fetch: (input, init) => fetch(input, init),
};
export const daypass = new Daypass(options);
new Daypass({ url: "https://api.example.com", clientId: "web" });
// @ts-expect-error: the client has to be named
new Daypass({ url: "https://api.example.com" });
// @ts-expect-error: it is `clientId` here
new Daypass({ url: "https://api.example.com", clientId: "web", client_id: "web" });
// @ts-expect-error: a list of origins
new Daypass({ url: "https://api.example.com", clientId: "web", origins: "https://orders.example.com" });

daypass.addEventListener("change", ({ detail: { state, reason } }) => {
  const text: `${DaypassState} ${DaypassReason}` = `${state} ${reason}`;
  // @ts-expect-error: no such state
  return state === "logged-in" ? "" : text;
});
daypass.addEventListener("renewed", ({ detail: { by } }) => by === "other-tab", { once: true });
// @ts-expect-error: a renewal is told with `by` alone
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
  // @ts-expect-error: without a session it is null
  session.sessionId.trim();
  if (session) {
    const text: string = `${session.sessionId} ${session.scope} ${session.expiresIn.toFixed()}`;
    // @ts-expect-error: no token is there to be read
    text.concat(session.accessToken);
  }
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
  // @ts-expect-error: it may not have been asked
  const seconds: number = error.retryAfter;
  return [error.status.toFixed(), error.error.trim(), error.message, wait, seconds];
});
// @ts-expect-error: only the module makes them
new DaypassError({ status: 503 });
// @ts-expect-error: nor without anything
new DaypassError();
