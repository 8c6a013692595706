//! The built-in texts, in English and German. The HTML has one table and inline styles, as old mail clients need it.

use daypass_core::ports::mail::{Mail, MailKind};
use daypass_core::secret::SecretString;
use daypass_core::token::mail::Purpose;

/// A mail with its texts.
pub(crate) struct Rendered {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

/// The words of one mail. `{service}` and `{hours}` stand for the values of the mail.
struct Words {
    subject: &'static str,
    /// Paragraphs before the link.
    before: &'static [&'static str],
    /// The text of the link.
    action: &'static str,
    /// Paragraphs after the code.
    after: &'static [&'static str],
}

// The texts of an invitation say this.
const _: () = assert!(Purpose::Invitation.lifetime().as_secs() == 7 * 24 * 3600);

/// The sentence before the code.
const CODE_EN: &str = "On another device, enter this code:";
const CODE_DE: &str = "Auf einem anderen Gerät geben Sie diesen Code ein:";

const fn english(kind: MailKind) -> Words {
    match kind {
        MailKind::SignUp => Words {
            subject: "Confirm your e-mail address",
            before: &[
                "Someone, probably you, wants to create an account at {service} with this e-mail address.",
            ],
            action: "Create the account",
            after: &[
                "Link and code are valid for {hours} hours.",
                "If this was not you, ignore this mail. Without your confirmation there is no account.",
            ],
        },
        MailKind::SignUpExisting => Words {
            subject: "You already have an account",
            before: &[
                "Someone, probably you, wants to create an account at {service} with this e-mail address. There is one already.",
                "Sign in, or set a new password if you forgot yours.",
            ],
            action: "Go to {service}",
            after: &["If this was not you, ignore this mail. Nothing has changed."],
        },
        MailKind::Reset => Words {
            subject: "Set a new password",
            before: &["Someone, probably you, forgot the password of your account at {service}."],
            action: "Set a new password",
            after: &[
                "Link and code are valid for {hours} hour. A new password signs you out on all devices.",
                "If this was not you, ignore this mail. Your password stays as it is.",
            ],
        },
        MailKind::Email => Words {
            subject: "Confirm your new e-mail address",
            before: &["You want to use this e-mail address for your account at {service}."],
            action: "Confirm the address",
            after: &[
                "Link and code are valid for {hours} hours.",
                "If this was not you, ignore this mail. Without your confirmation nothing changes.",
            ],
        },
        MailKind::EmailChanged => Words {
            subject: "Your e-mail address was changed",
            before: &[
                "Your account at {service} has another e-mail address now. This one no longer belongs to it.",
                "If this was not you, contact {service} at once.",
            ],
            action: "Go to {service}",
            after: &[],
        },
        MailKind::Invitation => Words {
            subject: "Your invitation",
            before: &["You are invited to create an account at {service}."],
            action: "Create the account",
            after: &["The link is valid for seven days."],
        },
        MailKind::FactorEnrolled => Words {
            subject: "Two-step sign-in is on",
            before: &[
                "Your account at {service} now asks for a one-time code after the password.",
                "If this was not you, contact {service} at once.",
            ],
            action: "Go to {service}",
            after: &[],
        },
        MailKind::FactorRemoved => Words {
            subject: "Two-step sign-in is off",
            before: &[
                "Your account at {service} no longer asks for a one-time code after the password.",
                "If this was not you, contact {service} at once.",
            ],
            action: "Go to {service}",
            after: &[],
        },
        MailKind::RecoveryCodes => Words {
            subject: "You have new recovery codes",
            before: &[
                "Your account at {service} has new recovery codes. The former ones no longer work.",
                "If this was not you, contact {service} at once.",
            ],
            action: "Go to {service}",
            after: &[],
        },
        MailKind::PasskeyAdded => Words {
            subject: "A passkey was added to your account",
            before: &[
                "Your account at {service} has a new passkey. Its device can sign you in.",
                "If this was not you, contact {service} at once.",
            ],
            action: "Open {service}",
            after: &[],
        },
        MailKind::PasskeyRemoved => Words {
            subject: "A passkey was removed from your account",
            before: &[
                "Your account at {service} has one passkey less.",
                "If this was not you, contact {service} at once.",
            ],
            action: "Open {service}",
            after: &[],
        },
        MailKind::FactorsReset => Words {
            subject: "Two-step sign-in was reset",
            before: &[
                "An operator of {service} removed the second factors of your account and signed you out on all devices.",
                "If you did not ask for this, contact {service} at once.",
            ],
            action: "Go to {service}",
            after: &[],
        },
    }
}

const fn german(kind: MailKind) -> Words {
    match kind {
        MailKind::SignUp => Words {
            subject: "Bestätigen Sie Ihre E-Mail-Adresse",
            before: &[
                "Jemand, vermutlich Sie, möchte mit dieser E-Mail-Adresse ein Konto bei {service} anlegen.",
            ],
            action: "Konto anlegen",
            after: &[
                "Link und Code gelten {hours} Stunden.",
                "Wenn Sie das nicht waren, ignorieren Sie diese Mail. Ohne Ihre Bestätigung entsteht kein Konto.",
            ],
        },
        MailKind::SignUpExisting => Words {
            subject: "Sie haben bereits ein Konto",
            before: &[
                "Jemand, vermutlich Sie, möchte mit dieser E-Mail-Adresse ein Konto bei {service} anlegen. Es gibt schon eines.",
                "Melden Sie sich an, oder setzen Sie ein neues Passwort, wenn Sie Ihres vergessen haben.",
            ],
            action: "Zu {service}",
            after: &["Wenn Sie das nicht waren, ignorieren Sie diese Mail. Es hat sich nichts geändert."],
        },
        MailKind::Reset => Words {
            subject: "Setzen Sie ein neues Passwort",
            before: &["Jemand, vermutlich Sie, hat das Passwort Ihres Kontos bei {service} vergessen."],
            action: "Neues Passwort setzen",
            after: &[
                "Link und Code gelten {hours} Stunde. Ein neues Passwort meldet Sie auf allen Geräten ab.",
                "Wenn Sie das nicht waren, ignorieren Sie diese Mail. Ihr Passwort bleibt, wie es ist.",
            ],
        },
        MailKind::Email => Words {
            subject: "Bestätigen Sie Ihre neue E-Mail-Adresse",
            before: &["Sie möchten diese E-Mail-Adresse für Ihr Konto bei {service} verwenden."],
            action: "Adresse bestätigen",
            after: &[
                "Link und Code gelten {hours} Stunden.",
                "Wenn Sie das nicht waren, ignorieren Sie diese Mail. Ohne Ihre Bestätigung ändert sich nichts.",
            ],
        },
        MailKind::EmailChanged => Words {
            subject: "Ihre E-Mail-Adresse wurde geändert",
            before: &[
                "Ihr Konto bei {service} hat jetzt eine andere E-Mail-Adresse. Diese hier gehört nicht mehr dazu.",
                "Wenn Sie das nicht waren, wenden Sie sich sofort an {service}.",
            ],
            action: "Zu {service}",
            after: &[],
        },
        MailKind::Invitation => Words {
            subject: "Ihre Einladung",
            before: &["Sie sind eingeladen, ein Konto bei {service} anzulegen."],
            action: "Konto anlegen",
            after: &["Der Link gilt sieben Tage."],
        },
        MailKind::FactorEnrolled => Words {
            subject: "Die Anmeldung in zwei Schritten ist an",
            before: &[
                "Ihr Konto bei {service} fragt nach dem Passwort jetzt nach einem Einmalcode.",
                "Wenn Sie das nicht waren, wenden Sie sich sofort an {service}.",
            ],
            action: "Zu {service}",
            after: &[],
        },
        MailKind::FactorRemoved => Words {
            subject: "Die Anmeldung in zwei Schritten ist aus",
            before: &[
                "Ihr Konto bei {service} fragt nach dem Passwort nicht mehr nach einem Einmalcode.",
                "Wenn Sie das nicht waren, wenden Sie sich sofort an {service}.",
            ],
            action: "Zu {service}",
            after: &[],
        },
        MailKind::RecoveryCodes => Words {
            subject: "Sie haben neue Wiederherstellungscodes",
            before: &[
                "Ihr Konto bei {service} hat neue Wiederherstellungscodes. Die früheren gelten nicht mehr.",
                "Wenn Sie das nicht waren, wenden Sie sich sofort an {service}.",
            ],
            action: "Zu {service}",
            after: &[],
        },
        MailKind::PasskeyAdded => Words {
            subject: "Ihr Konto hat einen neuen Passkey",
            before: &[
                "Ihr Konto bei {service} hat einen neuen Passkey. Mit seinem Gerät kann man sich anmelden.",
                "Wenn Sie das nicht waren, wenden Sie sich sofort an {service}.",
            ],
            action: "Zu {service}",
            after: &[],
        },
        MailKind::PasskeyRemoved => Words {
            subject: "Ein Passkey Ihres Kontos wurde entfernt",
            before: &[
                "Ihr Konto bei {service} hat einen Passkey weniger.",
                "Wenn Sie das nicht waren, wenden Sie sich sofort an {service}.",
            ],
            action: "Zu {service}",
            after: &[],
        },
        MailKind::FactorsReset => Words {
            subject: "Die Anmeldung in zwei Schritten wurde zurückgesetzt",
            before: &[
                "Ein Betreiber von {service} hat die zweiten Faktoren Ihres Kontos entfernt und Sie auf allen Geräten abgemeldet.",
                "Wenn Sie nicht darum gebeten haben, wenden Sie sich sofort an {service}.",
            ],
            action: "Zu {service}",
            after: &[],
        },
    }
}

/// The texts of a mail from this service. A language without texts gets English.
pub(crate) fn render(mail: &Mail, service: &str) -> Rendered {
    let (language, words, code_text) = match mail.language.as_str() {
        "de" => ("de", german(mail.kind), CODE_DE),
        _ => ("en", english(mail.kind), CODE_EN),
    };
    let fill = |text: &str| text.replace("{hours}", &mail.hours.to_string()).replace("{service}", service);
    let paragraphs = |texts: &[&str]| texts.iter().map(|text| fill(text)).collect::<Vec<String>>();
    let (before, after) = (paragraphs(words.before), paragraphs(words.after));
    let (subject, action) = (fill(words.subject), fill(words.action));
    let link = mail.link.as_ref().map(SecretString::expose);
    let code = mail.code.as_ref().map(SecretString::expose);

    let mut text = before.clone();
    text.extend(link.map(|link| format!("{action}:\n{link}")));
    text.extend(code.map(|code| format!("{code_text} {code}")));
    text.extend(after.iter().cloned());

    let paragraph = |text: &str| format!("<p style=\"margin:0 0 16px\">{text}</p>");
    let mut html: Vec<String> = before.iter().map(|text| paragraph(&escaped(text))).collect();
    html.extend(link.map(|link| {
        let style = "display:inline-block;padding:12px 20px;background:#1a56db;color:#ffffff;text-decoration:none;font-weight:bold";
        paragraph(&format!("<a href=\"{}\" style=\"{style}\">{}</a>", escaped(link), escaped(&action)))
    }));
    html.extend(code.map(|code| {
        let style = "font-family:Consolas,monospace;font-size:24px;letter-spacing:4px";
        let digits = format!("<span style=\"{style}\">{}</span>", escaped(code));
        paragraph(&format!("{}<br>{digits}", escaped(code_text)))
    }));
    html.extend(after.iter().map(|text| paragraph(&escaped(text))));
    let cell = "padding:24px;font-family:Arial,sans-serif;font-size:16px;line-height:24px;color:#1f2937";
    Rendered {
        text: format!("{}\n", text.join("\n\n")),
        html: format!(
            "<!DOCTYPE html><html lang=\"{language}\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\
             <body style=\"margin:0;padding:0;background:#ffffff\">\
             <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\"><tr>\
             <td align=\"center\"><table role=\"presentation\" width=\"560\" cellpadding=\"0\" cellspacing=\"0\" \
             border=\"0\" style=\"max-width:560px\"><tr><td align=\"left\" style=\"{cell}\">{body}</td></tr></table>\
             </td></tr></table></body></html>",
            title = escaped(&subject),
            body = html.concat()
        ),
        subject,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use daypass_core::account::address::EmailAddress;
    use daypass_core::ports::mail::Language;

    fn mail(kind: MailKind, language: &str) -> Mail {
        Mail {
            kind,
            to: EmailAddress::parse("ada@example.com").unwrap(),
            language: Language::parse(language).unwrap(),
            link: Some(SecretString::new(
                "https://app.example.com/account?a=1&b=2#daypass_reset_x".to_owned(),
            )),
            code: Some(SecretString::new("01234567".to_owned())),
            hours: 24,
        }
    }

    #[test]
    fn every_mail_has_its_texts_in_both_languages() {
        for kind in MailKind::ALL {
            let texts = ["en", "de", "fr"].map(|language| render(&mail(kind, language), "Käse & <Co>"));
            assert_ne!(texts[0].text, texts[1].text);
            assert_eq!(texts[0].html, texts[2].html, "another language gets English");
            for Rendered { subject, text, html } in texts {
                assert!(!subject.is_empty() && subject.len() < 78, "{subject}");
                assert!(text.contains("#daypass_reset_x\n") && text.contains("01234567"), "{text}");
                assert!(html.contains("a=1&amp;b=2#daypass_reset_x\"") && html.contains("01234567"));
                assert!(text.contains("Käse & <Co>") && html.contains("Käse &amp; &lt;Co&gt;"));
                assert!(!html.contains("<Co>") && !html.contains("{service}") && !text.contains("{hours}"));
                // No reader fetches anything: no image, script, style sheet or form.
                for tag in ["<img", "<script", "<link", "<style", "<form", "http-equiv", "url("] {
                    assert!(!html.contains(tag), "{tag}");
                }
            }
        }
    }

    #[test]
    fn a_notice_has_no_code() {
        let notice = Mail { link: None, code: None, ..mail(MailKind::EmailChanged, "en") };
        let Rendered { text, html, .. } = render(&notice, "Acme");
        assert!(!text.contains("code") && !html.contains("<a ") && !html.contains("monospace"));
    }
}
