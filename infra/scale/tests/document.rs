//! `docs/operations/cost.md` contains the output of `cargo scale`.

use std::path::Path;

/// With `UPDATE_SNAPSHOTS=1`, the test writes the tables.
///
/// invariant: The tables of the cost page are those that `cargo scale` prints.
#[test]
fn the_document_says_what_is_printed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations/cost.md");
    let document = std::fs::read_to_string(&file).unwrap();
    let expected = daypass_scale::written(&document).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the switch that rewrites a snapshot")]
    if std::env::var("UPDATE_SNAPSHOTS").is_ok() {
        std::fs::write(&file, &expected).unwrap();
        return;
    }
    assert!(
        document == expected,
        "docs/operations/cost.md is behind: UPDATE_SNAPSHOTS=1 rewrites its tables"
    );
}
