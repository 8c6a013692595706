//! Depth of tests: `cargo verify` is the gate of every change, and `cargo verify --full` runs at night and before a
//! release.

/// Set to `full` by `cargo verify --full`.
const VARIABLE: &str = "DAYPASS_TEST_DEPTH";

/// Whether this is a run of `cargo verify --full`.
///
/// # Panics
/// The variable `DAYPASS_TEST_DEPTH` is neither `full` nor `gate`.
#[must_use]
#[expect(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "the switch of the gate; a typo in it must not pass"
)]
pub fn is_full() -> bool {
    match std::env::var(VARIABLE).as_deref() {
        Ok("full") => true,
        Ok("gate") | Err(_) => false,
        Ok(other) => panic!("{VARIABLE} is {other:?}: it is `gate` or `full`"),
    }
}

/// Returns and prints the amount of work for this depth: "depth gate: 10 rounds (full: 200)".
#[must_use]
#[expect(clippy::print_stdout, reason = "each test says in which depth it runs")]
pub fn amount(what: &str, gate: usize, full: usize) -> usize {
    if is_full() {
        println!("depth full: {full} {what} (gate: {gate})");
        full
    } else {
        println!("depth gate: {gate} {what} (full: {full})");
        gate
    }
}
