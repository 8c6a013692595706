// The inbox of `cargo dev`. Text of a mail is inserted as text. The HTML of a mail is in a frame without scripts.

const byId = (id) => document.getElementById(id);
const INTERVAL_MS = 1000;
const LINK = /(https?:\/\/[^\s<>"]+)/;

/** The number of the newest mail in the list. */
let newest = 0;

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** The text with its URLs as links that open in a new tab. */
const withLinks = (text) =>
  text.split(LINK).map((part) => (LINK.test(part) ? element("a", { href: part, target: "_blank", rel: "noopener" }, part) : part));

function renderMail({ number, from, to, subject, text, html }) {
  const summary = element(
    "summary",
    {},
    element("span", { className: "name" }, subject || "Without a subject"),
    element("span", { className: "when" }, `to ${to.join(", ")}`),
  );
  const details = element(
    "details",
    { id: `mail-${number}` },
    summary,
    element("p", { className: "when" }, `From ${from}`),
    element("pre", { className: "text" }, ...withLinks(text)),
  );
  if (html) {
    const frame = element("iframe", { title: `HTML of the mail ${subject}`, loading: "lazy", src: `/mail/${number}.html` });
    frame.sandbox.add("allow-popups", "allow-popups-to-escape-sandbox");
    details.append(frame);
  }
  return element("li", {}, details);
}

/** Adds new mails at the top. The others stay as they are, with the focus and what is open. */
function show(mails) {
  const latest = mails[0]?.number ?? 0;
  if (latest < newest) {
    // Another stack.
    newest = 0;
    byId("mails").replaceChildren();
  }
  const added = mails.filter(({ number }) => number > newest);
  const isFirst = newest === 0;
  byId("mails").prepend(...added.map(renderMail));
  while (byId("mails").children.length > mails.length) byId("mails").lastElementChild.remove();
  byId("empty").hidden = mails.length > 0;
  if (added.length > 0 && !isFirst) byId("news").textContent = `New: ${added.map(({ subject }) => subject).join(", ")}`;
  newest = latest;
}

async function update() {
  try {
    const response = await fetch("/mail.json");
    const { mails } = await response.json();
    show(mails);
    byId("notice").hidden = true;
  } catch {
    byId("notice").textContent = "The server of this page does not answer. This page keeps trying.";
    byId("notice").hidden = false;
  }
  setTimeout(update, INTERVAL_MS);
}

update();
