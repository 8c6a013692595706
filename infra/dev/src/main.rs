//! `cargo dev`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    daypass_dev::start()
}
