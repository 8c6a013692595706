//! Answers of the revocation feed, as an authorizer reads them.
#![no_main]

use daypass_fuzz::issuer;
use daypass_verifier::revocation::{Answer, MAX_ANSWER_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(answer) = Answer::parse(input, &issuer()) else { return };
    let printed = answer.to_json(&issuer());
    assert!(printed.len() <= MAX_ANSWER_BYTES);
    assert_eq!(Answer::parse(&printed, &issuer()), Ok(answer));
});
