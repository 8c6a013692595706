use super::*;
use crate::keys::Document;
use crate::testing::{NOW, Seeded};
use daypass_verifier::jose::jwk::Algorithm;
use proptest::prelude::*;

const ISSUER: &str = "https://id.example.com";
const PURPOSES: [Purpose; 4] = [Purpose::Reset, Purpose::SignUp, Purpose::Address, Purpose::Invitation];

fn keys(seed: u64, issuer: &str) -> MailKeys {
    let document = Document::generate(Algorithm::EdDsa, &Seeded::new(seed), NOW).unwrap();
    MailKeys::new(RefreshKeys::from_document(&document).unwrap(), Issuer::parse(issuer).unwrap())
}

fn token(purpose: Purpose) -> MailToken {
    MailToken::new(purpose, OutboxId::from_bytes([7; 16]), NOW)
}

fn read_link(token: &MailToken, keys: &MailKeys, now: Timestamp) -> Result<MailToken, MailTokenError> {
    MailToken::from_link(token.link(keys).expose(), keys, now)
}

#[test]
fn links_and_handles_read_back_until_their_expiry() {
    let keys = keys(1, ISSUER);
    for purpose in PURPOSES {
        let token = token(purpose);
        assert_eq!(token.expires_at, NOW + purpose.lifetime());
        let last = token.expires_at.before(Duration::from_secs(1));
        for now in [NOW, last] {
            assert_eq!(read_link(&token, &keys, now), Ok(token));
            assert_eq!(MailToken::from_handle(&token.handle(&keys), &keys, now), Ok(token));
        }
        assert_eq!(read_link(&token, &keys, token.expires_at), Err(MailTokenError::Expired));
        let link = token.link(&keys);
        assert!(link.expose().starts_with(if purpose == Purpose::Reset {
            "daypass_reset_"
        } else {
            "daypass_verify_"
        }));
        // The MAC of one form is wrong for the other.
        let handle = token.handle(&keys);
        let as_link = handle.replace("daypass_request_", purpose.link_prefix());
        assert_eq!(MailToken::from_link(&as_link, &keys, NOW), Err(MailTokenError::Forged));
        let as_handle = link.expose().replace(purpose.link_prefix(), "daypass_request_");
        assert_eq!(MailToken::from_handle(&as_handle, &keys, NOW), Err(MailTokenError::Forged));
    }
}

/// invariant: A token of a mail is valid for one purpose, one request and one issuer.
#[test]
fn a_token_belongs_to_one_purpose_and_one_deployment() {
    let own = keys(1, ISSUER);
    let token = token(Purpose::Reset);
    // The same keys under another issuer, and other keys under the same issuer.
    let other_issuer = keys(1, "https://id.example.org");
    assert_eq!(
        MailToken::from_link(token.link(&own).expose(), &other_issuer, NOW),
        Err(MailTokenError::Forged)
    );
    let other_keys = keys(2, ISSUER);
    let link = token.link(&own);
    assert_eq!(MailToken::from_link(link.expose(), &other_keys, NOW), Err(MailTokenError::UnknownKey));
    for other in [&other_issuer, &other_keys] {
        assert!(!token.has_code(token.code(&own).expose(), other));
        let signed = own.sign_subject(Purpose::Reset, token.id, "{}");
        assert!(!other.verify_subject(Purpose::Reset, token.id, "{}", &signed));
    }
    // Another prefix does not make another purpose.
    let renamed = link.expose().replace("daypass_reset_", "daypass_verify_");
    assert_eq!(MailToken::from_link(&renamed, &own, NOW), Err(MailTokenError::Malformed));
}

#[test]
fn a_code_belongs_to_one_request() {
    let keys = keys(1, ISSUER);
    let one = token(Purpose::SignUp);
    let code = one.code(&keys);
    assert!(code.expose().len() == 8 && code.expose().bytes().all(|b| b.is_ascii_digit()));
    assert!(one.has_code(code.expose(), &keys));
    let other = MailToken { id: OutboxId::from_bytes([8; 16]), ..one };
    assert!(!other.has_code(code.expose(), &keys));
    assert!(!token(Purpose::Address).has_code(code.expose(), &keys));
    for wrong in
        ["", "0", &code.expose()[1..], &format!("{}0", code.expose()), &format!(" {}", code.expose())]
    {
        assert!(!one.has_code(wrong, &keys), "{wrong}");
    }
}

#[test]
fn a_subject_belongs_to_one_item() {
    let keys = keys(1, ISSUER);
    let (id, other) = (OutboxId::from_bytes([1; 16]), OutboxId::from_bytes([2; 16]));
    let signed = keys.sign_subject(Purpose::Reset, id, "subject");
    assert!(keys.verify_subject(Purpose::Reset, id, "subject", &signed));
    assert!(!keys.verify_subject(Purpose::Reset, other, "subject", &signed));
    assert!(!keys.verify_subject(Purpose::SignUp, id, "subject", &signed));
    assert!(!keys.verify_subject(Purpose::Reset, id, "subjecT", &signed));
    for cut in 0..signed.len() {
        assert!(!keys.verify_subject(Purpose::Reset, id, "subject", &signed[..cut]));
    }
}

#[test]
fn an_id_has_one_text() {
    let id = OutboxId::generate(&Seeded::new(3));
    assert_eq!(OutboxId::parse(&id.to_string()), Some(id));
    for odd in ["", "mail_", "mail_00", &id.to_string().to_uppercase(), &id.to_string()[5..]] {
        assert_eq!(OutboxId::parse(odd), None, "{odd}");
    }
}

proptest! {
    #[test]
    fn any_change_is_rejected(position in 0..98_usize, replacement in "[A-Za-z0-9_-]", purpose in 0..4_usize) {
        let keys = keys(1, ISSUER);
        let token = token(PURPOSES[purpose]);
        for text in [token.link(&keys).expose().to_owned(), token.handle(&keys)] {
            let position = position % text.len();
            prop_assume!(text[position..=position] != replacement);
            let mut changed = text.clone();
            changed.replace_range(position..=position, &replacement);
            prop_assert!(MailToken::from_link(&changed, &keys, NOW).is_err());
            prop_assert!(MailToken::from_handle(&changed, &keys, NOW).is_err());
        }
    }

    #[test]
    fn any_text_is_rejected(text in "(daypass_(reset|verify|request)_)?.{0,100}") {
        let keys = keys(1, ISSUER);
        prop_assert!(MailToken::from_link(&text, &keys, NOW).is_err());
        prop_assert!(MailToken::from_handle(&text, &keys, NOW).is_err());
    }
}
