// Accounts by mail on the demo page, with the real functions, the stream of the outbox and the inbox of the stack: a person from
// the sign-up to the change of the address. Once with a scanner that follows every link of every mail before the person does.

import assert from "node:assert/strict";
import { test } from "node:test";
import { API, until } from "../harness.mjs";
import { inBrowser, open, signedIn, text } from "../pages.mjs";

const FIRST = "correct horse battery";
const SECOND = "another horse and its battery";
const LINK = /https?:\/\/[^\s<>"]+/g;

/** The mails of the stack, the newest first. */
const mails = async () => (await (await fetch(`${API}/mail.json`)).json()).mails;

/** Waits for a mail to this address that `seen` does not have, and adds it. */
async function mailTo(seen, address) {
  const found = await until(
    async () => (await mails()).find(({ number, to }) => to.includes(address) && !seen.has(number)),
    `a mail to ${address}`,
  );
  seen.add(found.number);
  return found;
}

/** Requests every link of a mail with GET and HEAD, as scanners of mails do, and opens it in a browser that runs scripts. */
async function scan(context, { number, text: plain, html }) {
  const made = html ? await (await fetch(`${API}/mail/${number}.html`)).text() : "";
  const links = new Set(`${plain} ${made}`.match(LINK));
  assert.ok(links.size > 0, plain);
  for (const link of links) {
    for (const method of ["HEAD", "GET"]) await (await fetch(link, { method })).arrayBuffer();
    const page = await context.newPage();
    await page.goto(link);
    await page.waitForLoadState("networkidle");
    await page.close();
  }
}

const linkOf = ({ text: plain }) => plain.match(LINK).find((link) => link.includes("#daypass_"));
const codeOf = ({ text: plain }) => plain.match(/\b\d{8}\b/)[0];

async function logInAs(page, username, password) {
  await page.locator("#username").fill(username);
  await page.locator("#password").fill(password);
  await page.locator("#log-in").press("Enter");
  await signedIn(page);
}

async function ask(page, button, email) {
  await page.locator(button).click();
  await page.locator("#email").fill(email);
  await page.locator("#ask-send").click();
  await page.locator("#confirm").waitFor();
}

for (const scanned of [false, true]) {
  const name = scanned ? "with a scanner that follows every link first" : "without a scanner";
  test(`an account from the sign-up to another address, ${name}`, { timeout: 180e3 }, () =>
    inBrowser({}, async (laptop, expected) => {
      const [old, other] = ["old", "new"].map((word) => `${word}-${scanned ? "scanned" : "plain"}@example.com`);
      const seen = new Set((await mails()).map(({ number }) => number));
      const read = async (address) => {
        const mail = await mailTo(seen, address);
        if (scanned) await inBrowser({}, (scanner) => scan(scanner, mail));
        return mail;
      };
      // Sign up. The mail is read on the phone, in the inbox, and its code typed on the laptop.
      const page = await open(laptop);
      await ask(page, "#sign-up", old);
      const code = codeOf(await read(old));
      await inBrowser({ viewport: { width: 360, height: 740 } }, async (phone) => {
        const inbox = await phone.newPage();
        await inbox.goto(`${API}/mail`);
        const newest = inbox.locator("#mails details").filter({ hasText: `to ${old}` }).first();
        await newest.locator("summary").click();
        assert.ok((await newest.locator(".text").textContent()).includes(code));
      });
      await page.locator("#code").fill(code);
      await page.locator("#new-password").fill(FIRST);
      await page.locator("#confirm-send").click();
      await text(page, "#notice", /^Your account is ready\./);
      await logInAs(page, old, FIRST);

      await inBrowser({}, async (phone, expectedOnPhone) => {
        const other = await open(phone);
        await logInAs(other, old, FIRST);
        // Forget the password on a third device, and set another one by the link.
        await inBrowser({}, async (tablet) => {
          const third = await open(tablet);
          await ask(third, "#forgot", old);
          const link = linkOf(await read(old));
          await third.goto(link);
          await third.locator("#confirm-title").getByText("Set a new password").waitFor();
          await third.locator("#new-password").fill(SECOND);
          await third.locator("#confirm-send").click();
          await text(third, "#notice", /^Your password is changed, and all sessions have ended\./);
        });
        // Both sessions are gone.
        expectedOnPhone.push([401, /./], [403, /./]);
        expected.push([401, /./], [403, /./]);
        for (const ended of [page, other]) {
          await ended.reload();
          await ended.locator("#signed-out").waitFor();
        }
        await other.locator("#username").fill(old);
        await other.locator("#password").fill(FIRST);
        await other.locator("#log-in").press("Enter");
        await text(other, "#login-error", /./);
      });

      // Change the address. The old one is told.
      await logInAs(page, old, SECOND);
      await page.locator("#change-email").click();
      await page.locator("#current-password").fill(SECOND);
      await page.locator("#email").fill(other);
      await page.locator("#ask-send").click();
      await page.locator("#confirm").waitFor();
      await page.goto(linkOf(await read(other)));
      await page.locator("#confirm-send").click();
      await text(page, "#notice", /^Your e-mail address is changed\./);
      const notice = await read(old);
      assert.equal(linkOf(notice), undefined, "the notice permits nothing");
      await page.locator("#log-out").click();
      await page.locator("#signed-out").waitFor();
      await logInAs(page, other, SECOND);
      await page.locator("#log-out").click();
      await page.locator("#signed-out").waitFor();
      await page.locator("#username").fill(old);
      await page.locator("#password").fill(SECOND);
      await page.locator("#log-in").press("Enter");
      await text(page, "#login-error", /./);
    }));
}
