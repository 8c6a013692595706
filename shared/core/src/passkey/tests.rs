//! One test for each check of sections 7.1 and 7.2, with keys of AWS-LC as the authenticator.

use super::ceremony::{Assertion, Attestation, Ceremony, Used};
use super::challenge::{self, Purpose};
use super::key::PublicKey;
use super::relying_party::RelyingParty;
use super::{Credential, Fault, PasskeyId};
use crate::keys::{Document, RefreshKeys};
use crate::testing::{NOW, Seeded};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::UserId;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Algorithm;
use serde_json::{Value, json};
use std::time::Duration;

const ALICE: UserId = UserId::from_bytes([1; 16]);
const BOB: UserId = UserId::from_bytes([2; 16]);
const ORIGIN: &str = "https://app.example.com";
const ID: [u8; 20] = [9; 20];

const UP: u8 = 0x01;
const UV: u8 = 0x04;
const BE: u8 = 0x08;
const BS: u8 = 0x10;
const AT: u8 = 0x40;
const ED: u8 = 0x80;

/// The private key of an authenticator.
enum Private {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl Private {
    fn all() -> [Self; 3] {
        [
            Self::es256(),
            Self::EdDsa(Ed25519KeyPair::generate().unwrap()),
            Self::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        ]
    }

    fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    /// The COSE key, as CTAP2 encodes it.
    fn cose(&self) -> Vec<u8> {
        match self {
            Self::Es256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], x, &[0x22, 0x58, 32], y].concat()
            }
            Self::EdDsa(key) => {
                [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], key.public_key().as_ref()].concat()
            }
            Self::Rs256(key) => {
                let n = key.public_key().modulus().big_endian_without_leading_zero().to_vec();
                [&[0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, 1, 0], n.as_slice(), &[0x21, 0x43, 1, 0, 1]]
                    .concat()
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Es256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::EdDsa(key) => key.sign(message).as_ref().to_vec(),
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

/// A relying party with its keys, and what an authenticator would answer.
struct World {
    party: RelyingParty,
    keys: RefreshKeys,
}

impl World {
    fn new() -> Self {
        let document = Document::generate(Algorithm::EdDsa, &Seeded::new(1), NOW).unwrap();
        let party = RelyingParty::parse("example.com", "https://app.example.com https://example.com");
        Self { party: party.unwrap(), keys: RefreshKeys::from_document(&document).unwrap() }
    }

    fn ceremony(&self, purpose: Purpose) -> Ceremony<'_> {
        Ceremony { party: &self.party, keys: &self.keys, purpose, now: NOW }
    }

    fn client_data(&self, kind: &str, purpose: Purpose) -> Value {
        let challenge = self.ceremony(purpose).challenge(&Seeded::new(7));
        json!({ "type": kind, "challenge": challenge, "origin": ORIGIN, "crossOrigin": false })
    }

    fn creation(&self) -> Value {
        self.client_data("webauthn.create", Purpose::Registration(ALICE))
    }

    fn get(&self) -> Value {
        self.client_data("webauthn.get", Purpose::Login)
    }

    fn register(&self, attestation: &Attestation) -> Result<Credential, Fault> {
        let ceremony = self.ceremony(Purpose::Registration(ALICE));
        ceremony.register(attestation, ALICE).map(|(credential, _)| credential)
    }

    fn login(&self, assertion: &Assertion, stored: &Credential) -> Result<Used, Fault> {
        self.ceremony(Purpose::Login).authenticate(assertion)?.verify(stored)
    }

    /// Checks a registration whose client data were changed.
    fn check_creation(&self, change: impl Fn(&mut Value), expected: Fault) {
        let mut client_data = self.creation();
        change(&mut client_data);
        let attestation = attestation(&client_data, &registration_data(UP | UV, &Private::es256().cose()));
        assert_eq!(self.register(&attestation), Err(expected), "{client_data}");
    }

    /// Checks a login with these authenticator data, client data and stored credential.
    fn check_login(&self, flags: u8, change: impl Fn(&mut Login), expected: Result<(), Fault>) {
        let key = Private::es256();
        let mut login = Login {
            client_data: self.get().to_string().into_bytes(),
            data: assertion_data(flags, 5),
            stored: stored(&key),
            change_after: Box::new(|_| {}),
        };
        change(&mut login);
        let mut assertion = assertion(&key, login.client_data, login.data);
        (login.change_after)(&mut assertion);
        assert_eq!(self.login(&assertion, &login.stored).map(|_| ()), expected);
    }
}

/// What a test changes in a login.
struct Login {
    client_data: Vec<u8>,
    data: Vec<u8>,
    stored: Credential,
    /// A change of what was signed already.
    change_after: Box<dyn Fn(&mut Assertion)>,
}

fn stored(key: &Private) -> Credential {
    Credential {
        id: ID.to_vec(),
        user: ALICE,
        public_key: PublicKey::from_bytes(&key.cose()).unwrap(),
        sign_count: 4,
        backup_eligible: false,
        backed_up: false,
        verifies_user: true,
    }
}

fn head(flags: u8, count: u32) -> Vec<u8> {
    [digest(&SHA256, b"example.com").as_ref(), &[flags], &count.to_be_bytes()].concat()
}

fn registration_data(flags: u8, key: &[u8]) -> Vec<u8> {
    let length = u16::try_from(ID.len()).unwrap().to_be_bytes();
    [head(flags | AT, 0).as_slice(), &[3; 16], &length, &ID, key].concat()
}

fn assertion_data(flags: u8, count: u32) -> Vec<u8> {
    head(flags, count)
}

fn attestation(client_data: &Value, data: &[u8]) -> Attestation {
    Attestation {
        id: ID.to_vec(),
        client_data: client_data.to_string().into_bytes(),
        authenticator_data: data.to_vec(),
    }
}

fn assertion(key: &Private, client_data: Vec<u8>, data: Vec<u8>) -> Assertion {
    let message = [data.as_slice(), digest(&SHA256, &client_data).as_ref()].concat();
    Assertion {
        id: ID.to_vec(),
        client_data,
        authenticator_data: data,
        signature: key.sign(&message),
        user_handle: Some(ALICE.as_bytes().to_vec()),
    }
}

/// Every algorithm of the list registers and logs in.
#[test]
fn both_ceremonies_with_each_algorithm() {
    let world = World::new();
    for key in Private::all() {
        let data = registration_data(UP | UV | BE, &key.cose());
        let credential = world.register(&attestation(&world.creation(), &data)).unwrap();
        assert_eq!((credential.user, credential.sign_count), (ALICE, 0));
        assert!(credential.backup_eligible && !credential.backed_up);
        let data = assertion_data(UP | UV | BE | BS, 1);
        let assertion = assertion(&key, world.get().to_string().into_bytes(), data);
        let used = Used { sign_count: 1, backed_up: true, user_verified: true };
        assert_eq!(world.login(&assertion, &credential), Ok(used));
    }
}

/// Section 7.1 step 5 and section 7.2 step 9: the client data are JSON.
#[test]
fn client_data_that_is_no_json_object() {
    let world = World::new();
    for text in ["", "[]", "{", "\u{feff}{}", r#"{"type":1}"#] {
        world.check_login(
            UP | UV,
            |login| login.client_data = text.as_bytes().to_vec(),
            Err(Fault::ClientData),
        );
    }
    // A member twice: a parser of the browser could see the other one.
    let twice = world.get().to_string().replacen('{', r#"{"origin":"https://evil.example","#, 1);
    let check = |login: &mut Login| login.client_data = twice.clone().into_bytes();
    world.check_login(UP | UV, check, Err(Fault::ClientData));
    for member in ["type", "challenge", "origin"] {
        let remove = |data: &mut Value| _ = data.as_object_mut().unwrap().remove(member);
        world.check_creation(remove, Fault::ClientData);
    }
}

/// Section 7.1 step 7 and section 7.2 step 11.
#[test]
fn type_of_the_other_ceremony() {
    let world = World::new();
    world.check_creation(|data| data["type"] = json!("webauthn.get"), Fault::Type);
    world.check_creation(|data| data["type"] = json!("payment.get"), Fault::Type);
    let create = world.client_data("webauthn.create", Purpose::Login).to_string();
    let check = |login: &mut Login| login.client_data = create.clone().into_bytes();
    world.check_login(UP | UV, check, Err(Fault::Type));
}

/// Section 7.1 step 8 and section 7.2 step 12: ours, of this purpose, of this user, of this relying party.
#[test]
fn challenge_of_another_ceremony() {
    let world = World::new();
    let foreign = World { party: RelyingParty::parse("example.org", "").unwrap(), ..World::new() };
    let other_keys = Document::generate(Algorithm::EdDsa, &Seeded::new(2), NOW).unwrap();
    let other_keys = RefreshKeys::from_document(&other_keys).unwrap();
    let other_keys = Ceremony { keys: &other_keys, ..world.ceremony(Purpose::Registration(ALICE)) };
    let own = world.ceremony(Purpose::Registration(ALICE)).challenge(&Seeded::new(7));
    for challenge in [
        world.ceremony(Purpose::Registration(BOB)).challenge(&Seeded::new(7)),
        world.ceremony(Purpose::Login).challenge(&Seeded::new(7)),
        world.ceremony(Purpose::SecondFactor(ALICE)).challenge(&Seeded::new(7)),
        foreign.ceremony(Purpose::Registration(ALICE)).challenge(&Seeded::new(7)),
        other_keys.challenge(&Seeded::new(7)),
        own[..own.len() - 1].to_owned(),
        format!("{own}A"),
        format!("{own}=="),
        own.to_lowercase(),
        String::new(),
        "💥".to_owned(),
    ] {
        world.check_creation(|data| data["challenge"] = json!(challenge), Fault::Challenge);
    }
}

/// Every character of a challenge counts.
#[test]
fn challenge_with_one_other_character() {
    let world = World::new();
    let own = world.ceremony(Purpose::Registration(ALICE)).challenge(&Seeded::new(7));
    for at in 0..own.len() {
        let mut challenge = own.clone();
        let other = if &own[at..=at] == "A" { "B" } else { "A" };
        challenge.replace_range(at..=at, other);
        world.check_creation(|data| data["challenge"] = json!(challenge), Fault::Challenge);
    }
}

#[test]
fn challenge_after_its_time() {
    let world = World::new();
    let data = registration_data(UP | UV, &Private::es256().cose());
    let attestation = attestation(&world.creation(), &data);
    let at = |now: Timestamp| {
        let ceremony = Ceremony { now, ..world.ceremony(Purpose::Registration(ALICE)) };
        ceremony.register(&attestation, ALICE).map(|(_, challenge)| challenge.expires_at)
    };
    let end = NOW + challenge::LIFETIME;
    assert_eq!(at(end.before(Duration::from_secs(1))), Ok(end));
    assert_eq!(at(end), Err(Fault::ChallengeExpired));
}

/// The store notes a challenge by a key, and no two challenges share one.
#[test]
fn challenges_have_distinct_keys() {
    let world = World::new();
    let data = registration_data(UP | UV, &Private::es256().cose());
    let key = |seed| {
        let mut client_data = world.creation();
        let ceremony = world.ceremony(Purpose::Registration(ALICE));
        client_data["challenge"] = json!(ceremony.challenge(&Seeded::new(seed)));
        let (_, challenge) = ceremony.register(&attestation(&client_data, &data), ALICE).unwrap();
        challenge.key()
    };
    assert_eq!(key(1), key(1));
    assert_ne!(key(1), key(2));
}

/// Section 7.1 step 9 and section 7.2 step 13.
#[test]
fn origin_of_another_site() {
    let world = World::new();
    for origin in [
        "https://evil.example",
        "https://app.example.com.evil.example",
        "https://app.example.com/",
        "https://app.example.com:443",
        "https://APP.example.com",
        "http://app.example.com",
        "https://other.example.com",
        "null",
        "",
    ] {
        world.check_creation(|data| data["origin"] = json!(origin), Fault::Origin);
    }
}

/// Section 7.1 steps 10 and 11, section 7.2 step 14: pages in frames of other sites may not use passkeys here.
#[test]
fn frame_of_another_origin() {
    let world = World::new();
    world.check_creation(|data| data["crossOrigin"] = json!(true), Fault::CrossOrigin);
    world.check_creation(|data| data["topOrigin"] = json!(ORIGIN), Fault::CrossOrigin);
    world.check_creation(|data| data["crossOrigin"] = json!("false"), Fault::ClientData);
    // Older browsers leave the member out.
    let mut old = world.get();
    old.as_object_mut().unwrap().remove("crossOrigin");
    let check = |login: &mut Login| login.client_data = old.to_string().into_bytes();
    world.check_login(UP | UV, check, Ok(()));
}

/// Section 5.8.1: browsers may add members.
#[test]
fn unknown_members_of_client_data_are_ignored() {
    let world = World::new();
    let mut client_data = world.get();
    client_data["other_keys_can_be_added_here"] = json!("do not compare clientDataJSON against a template");
    client_data["tokenBinding"] = json!({ "status": "supported" });
    let check = |login: &mut Login| login.client_data = client_data.to_string().into_bytes();
    world.check_login(UP | UV, check, Ok(()));
}

/// Section 7.1 step 14 and section 7.2 step 15.
#[test]
fn hash_of_another_relying_party() {
    let world = World::new();
    world.check_login(UP | UV, |login| login.data[31] ^= 1, Err(Fault::RelyingParty));
    let mut data = registration_data(UP | UV, &Private::es256().cose());
    data[0] ^= 1;
    assert_eq!(world.register(&attestation(&world.creation(), &data)), Err(Fault::RelyingParty));
}

/// Section 7.1 step 15 and section 7.2 step 16.
#[test]
fn no_user_presence() {
    let world = World::new();
    world.check_login(UV, |_| {}, Err(Fault::NotPresent));
    let data = registration_data(UV, &Private::es256().cose());
    assert_eq!(world.register(&attestation(&world.creation(), &data)), Err(Fault::NotPresent));
}

/// Section 7.1 step 16 and section 7.2 step 17. A thief can ask an authenticator for a response without its PIN.
///
/// invariant: A passkey that has verified its person at the registration logs in with user verification alone.
#[test]
fn user_verification_is_required_where_the_registration_had_it() {
    let world = World::new();
    world.check_login(UP, |_| {}, Err(Fault::NotVerified));
    let data = registration_data(UP | UV, &Private::es256().cose());
    assert!(world.register(&attestation(&world.creation(), &data)).unwrap().verifies_user);
}

/// Section 4, `uvInitialized`: a thief can set a PIN on an authenticator that has none.
///
/// invariant: A passkey that was registered without user verification is one factor, whatever a later response says.
#[test]
fn user_verification_is_no_factor_without_that_of_the_registration() {
    let world = World::new();
    let key = Private::es256();
    let data = registration_data(UP, &key.cose());
    let credential = world.register(&attestation(&world.creation(), &data)).unwrap();
    assert!(!credential.verifies_user);
    for flags in [UP, UP | UV] {
        let response = assertion(&key, world.get().to_string().into_bytes(), assertion_data(flags, 5));
        assert_eq!(world.login(&response, &credential).map(|used| used.user_verified), Ok(false));
    }
}

/// The password is the other factor. The result states that there was no user verification.
#[test]
fn a_second_factor_needs_no_user_verification() {
    let world = World::new();
    let key = Private::es256();
    let purpose = Purpose::SecondFactor(ALICE);
    let client_data = world.client_data("webauthn.get", purpose).to_string().into_bytes();
    let mut assertion = assertion(&key, client_data, assertion_data(UP, 5));
    assertion.user_handle = None;
    let used = world.ceremony(purpose).authenticate(&assertion).unwrap().verify(&stored(&key));
    assert_eq!(used, Ok(Used { sign_count: 5, backed_up: false, user_verified: false }));
    let other = world.ceremony(Purpose::SecondFactor(BOB)).authenticate(&assertion);
    assert_eq!(other.map(|_| ()), Err(Fault::Challenge));
}

/// Section 7.1 steps 17 and 18, section 7.2 steps 18 and 19.
#[test]
fn backup_flags_that_contradict_each_other() {
    let world = World::new();
    let data = registration_data(UP | UV | BS, &Private::es256().cose());
    assert_eq!(world.register(&attestation(&world.creation(), &data)), Err(Fault::Backup));
    world.check_login(UP | UV | BS, |_| {}, Err(Fault::Backup));
    // A credential cannot become eligible, or stop to be.
    world.check_login(UP | UV | BE, |_| {}, Err(Fault::Backup));
    world.check_login(UP | UV, |login| login.stored.backup_eligible = true, Err(Fault::Backup));
    world.check_login(UP | UV | BE | BS, |login| login.stored.backup_eligible = true, Ok(()));
}

/// Section 6.1: the flag AT belongs to registrations alone.
#[test]
fn attested_data_in_the_wrong_ceremony() {
    let world = World::new();
    assert_eq!(world.register(&attestation(&world.creation(), &head(UP | UV, 0))), Err(Fault::AttestedData));
    let with_key = registration_data(UP | UV, &Private::es256().cose());
    world.check_login(UP | UV, |login| login.data.clone_from(&with_key), Err(Fault::AttestedData));
}

/// Section 6.1: the length follows from the flags.
#[test]
fn authenticator_data_of_another_length() {
    let world = World::new();
    let wrong = Err(Fault::AuthenticatorData);
    for length in 0..37 {
        world.check_login(UP | UV, |login| login.data.truncate(length), wrong);
    }
    world.check_login(UP | UV, |login| login.data.push(0), wrong);
    world.check_login(UP | UV | ED, |_| {}, wrong);
    for key in Private::all() {
        let whole = registration_data(UP | UV, &key.cose());
        for length in 0..whole.len() {
            let result = world.register(&attestation(&world.creation(), &whole[..length]));
            let faults = [Fault::AuthenticatorData, Fault::PublicKey];
            assert!(result.is_err_and(|fault| faults.contains(&fault)), "{length}");
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert_eq!(world.register(&attestation(&world.creation(), &longer)), Err(Fault::AuthenticatorData));
    }
}

/// Section 7.1 step 19 and section 7.2 step 20: extensions that were not asked for are ignored.
#[test]
fn extensions_are_ignored() {
    let world = World::new();
    // {"credProtect": 2}
    let extension = [&[0xa1, 0x6b], b"credProtect".as_slice(), &[2]].concat();
    let data = [registration_data(UP | UV | ED, &Private::es256().cose()), extension.clone()].concat();
    assert!(world.register(&attestation(&world.creation(), &data)).is_ok());
    world.check_login(UP | UV | ED, |login| login.data.extend(&extension), Ok(()));
}

/// Section 7.1 step 20: only algorithms of the list.
#[test]
fn key_of_another_algorithm_or_shape() {
    let world = World::new();
    let [es256, eddsa, rs256] = Private::all().map(|key| key.cose());
    let with = |key: &[u8], at: usize, byte: u8| {
        let mut key = key.to_vec();
        key[at] = byte;
        key
    };
    for (name, key) in [
        ("ES384", with(&es256, 4, 0x38)),
        ("P-384", with(&es256, 6, 2)),
        ("a key of another type", with(&es256, 2, 1)),
        ("X25519", with(&eddsa, 6, 4)),
        ("PS256", with(&rs256, 5, 0)),
        ("an exponent of 3", [&rs256[..rs256.len() - 5], &[0x21, 0x41, 3]].concat()),
        (
            "a modulus of 1024 bits",
            [&rs256[..9], &[0, 128], &rs256[11..139], &[0x21, 0x43, 1, 0, 1]].concat(),
        ),
        ("a modulus with a leading zero", with(&rs256, 11, 0)),
        ("another order of the members", [&[0xa5, 3, 0x26, 1, 2], &es256[5..]].concat()),
        ("a length of two bytes", [&es256[..8], &[0x59, 0, 32], &es256[10..]].concat()),
        ("no key", Vec::new()),
    ] {
        let data = registration_data(UP | UV, &key);
        let result = world.register(&attestation(&world.creation(), &data));
        assert_eq!(result, Err(Fault::PublicKey), "{name}");
    }
}

/// Section 5.8.5: the point is on the curve.
#[test]
fn key_that_is_not_on_the_curve() {
    let world = World::new();
    let mut key = Private::es256().cose();
    *key.last_mut().unwrap() ^= 1;
    let data = registration_data(UP | UV, &key);
    assert_eq!(world.register(&attestation(&world.creation(), &data)), Err(Fault::PublicKey));
    // The point at infinity.
    key[10..42].fill(0);
    key[45..].fill(0);
    let data = registration_data(UP | UV, &key);
    assert_eq!(world.register(&attestation(&world.creation(), &data)), Err(Fault::PublicKey));
}

/// Section 7.1 step 25, and the id that the response names.
#[test]
fn credential_id_of_another_length_or_value() {
    let world = World::new();
    let key = Private::es256().cose();
    let mut other = attestation(&world.creation(), &registration_data(UP | UV, &key));
    other.id[0] ^= 1;
    assert_eq!(world.register(&other), Err(Fault::CredentialId));
    for (length, expected) in
        [(0, Some(Fault::CredentialId)), (1, None), (1023, None), (1024, Some(Fault::CredentialId))]
    {
        let id = vec![5; length];
        let size = u16::try_from(length).unwrap().to_be_bytes();
        let data = [head(UP | UV | AT, 0).as_slice(), &[3; 16], &size, &id, &key].concat();
        let response = Attestation { id, ..attestation(&world.creation(), &data) };
        assert_eq!(world.register(&response).err(), expected, "{length}");
    }
}

/// Section 7.2 step 5: the credential is the one that the response names.
#[test]
fn assertion_of_another_credential() {
    let world = World::new();
    let change = |login: &mut Login| login.change_after = Box::new(|assertion| assertion.id[0] ^= 1);
    world.check_login(UP | UV, change, Err(Fault::CredentialId));
}

/// Section 7.2 step 6.
#[test]
fn user_handle_of_another_user() {
    let world = World::new();
    for handle in [None, Some(BOB.as_bytes().to_vec()), Some(Vec::new()), Some(vec![1; 15])] {
        let change = |login: &mut Login| {
            let handle = handle.clone();
            login.change_after = Box::new(move |assertion| assertion.user_handle.clone_from(&handle));
        };
        world.check_login(UP | UV, change, Err(Fault::UserHandle));
    }
}

/// Section 7.2 step 21.
#[test]
fn signature_of_another_key_or_message() {
    let world = World::new();
    let wrong = Err(Fault::Signature);
    let by_another = |login: &mut Login| login.stored.public_key = stored(&Private::es256()).public_key;
    world.check_login(UP | UV, by_another, wrong);
    let changes: [fn(&mut Assertion); 5] = [
        |assertion| assertion.signature[10] ^= 1,
        |assertion| assertion.signature.clear(),
        |assertion| assertion.signature.push(0),
        |assertion| assertion.authenticator_data[36] ^= 1,
        |assertion| assertion.client_data.push(b' '),
    ];
    for change in changes {
        world.check_login(UP | UV, |login| login.change_after = Box::new(change), wrong);
    }
}

/// Section 7.2 step 22.
///
/// invariant: A passkey whose signature counter did not grow is rejected, because it has been copied.
#[test]
fn signature_counter() {
    let world = World::new();
    for (before, now, expected) in [
        (0, 0, Ok(())),
        (0, 1, Ok(())),
        (4, 5, Ok(())),
        (4, u32::MAX, Ok(())),
        (4, 4, Err(Fault::Counter)),
        (4, 3, Err(Fault::Counter)),
        (4, 0, Err(Fault::Counter)),
        (u32::MAX, 0, Err(Fault::Counter)),
    ] {
        let change = |login: &mut Login| {
            login.stored.sign_count = before;
            login.data = assertion_data(UP | UV, now);
        };
        world.check_login(UP | UV, change, expected);
    }
}

#[test]
fn ids_read_back_in_their_one_form() {
    let id = PasskeyId::of(&ID);
    assert_eq!(PasskeyId::parse(&id.to_string()), Some(id));
    for wrong in ["", "psk_", &id.to_string().to_uppercase(), &format!("{id}00")] {
        assert_eq!(PasskeyId::parse(wrong), None, "{wrong}");
    }
}

/// The bytes of a response that a mutation can change.
type Part<T> = fn(&mut T) -> &mut Vec<u8>;

/// One change of a part: a bit, a byte, a length, or a copy of another place.
fn mutate(bytes: &mut Vec<u8>, random: &Seeded) {
    let mut dice = [0; 8];
    random.fill(&mut dice);
    let [kind, value, ..] = dice;
    let at = |length: usize| usize::from(u16::from_be_bytes([dice[2], dice[3]])) % length.max(1);
    match (kind % 6, bytes.len()) {
        (0, length) if length > 0 => bytes[at(length)] ^= 1 << (value % 8),
        (1, length) if length > 0 => bytes[at(length)] = value,
        (2, length) => bytes.truncate(at(length)),
        (3, length) => bytes.insert(at(length + 1), value),
        (4, length) if length > 0 => _ = bytes.remove(at(length)),
        (_, length) => {
            let (from, to) = (at(length), usize::from(dice[4]) % length.max(1));
            if let (Some(byte), true) = (bytes.get(from).copied(), to < length) {
                bytes[to] = byte;
            }
        }
    }
}

/// 5,000 logins and 5,000 registrations, each with one to three random changes.
///
/// A signature covers every byte of a login, so each change is rejected. No signature covers a registration without
/// attestation: a change that is accepted must not concern what is stored, except the key itself, the counter and a flag.
///
/// invariant: No changed response of an authenticator logs in, and none panics.
#[test]
fn mutated_ceremonies() {
    let world = World::new();
    let random = Seeded::new(42);
    let keys = Private::all();
    let parts: [Part<Assertion>; 5] = [
        |response| &mut response.id,
        |response| &mut response.client_data,
        |response| &mut response.authenticator_data,
        |response| &mut response.signature,
        |response| response.user_handle.get_or_insert_default(),
    ];
    let mut rejected = 0;
    for round in 0..5_000 {
        let key = &keys[round % keys.len()];
        let good = assertion(key, world.get().to_string().into_bytes(), assertion_data(UP | UV, 5));
        let mut bad = good.clone();
        for _ in 0..=round % 3 {
            mutate(parts[(round / 3) % parts.len()](&mut bad), &random);
        }
        let result = world.login(&bad, &stored(key));
        assert_eq!(result.is_ok(), bad == good, "{result:?} {bad:?}");
        rejected += usize::from(result.is_err());
    }
    assert!(rejected > 4_500, "{rejected} of 5,000 were changed");
    let parts: [Part<Attestation>; 3] = [
        |response| &mut response.id,
        |response| &mut response.client_data,
        |response| &mut response.authenticator_data,
    ];
    let creation = world.creation();
    for round in 0..5_000 {
        let key = &keys[round % keys.len()];
        let mut bad = attestation(&creation, &registration_data(UP | UV, &key.cose()));
        for _ in 0..=round % 3 {
            mutate(parts[(round / 3) % parts.len()](&mut bad), &random);
        }
        let Ok(credential) = world.register(&bad) else { continue };
        assert_eq!((credential.id.as_slice(), credential.user), (ID.as_slice(), ALICE));
        assert!(PublicKey::from_bytes(credential.public_key.as_bytes()).is_some());
        let seen: Value = serde_json::from_slice(&bad.client_data).unwrap();
        for member in ["type", "challenge", "origin"] {
            assert_eq!(seen[member], creation[member]);
        }
    }
}
