//! `cargo scale`: prints the tables of `docs/operations/cost.md`, the same at every run.

use daypass_scale::tables;

#[expect(clippy::print_stdout, reason = "the tables are what this is run for")]
fn main() {
    for (name, table) in tables() {
        println!("{name}\n\n{table}");
    }
}
