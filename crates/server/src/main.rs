//! The binary. What it does is in the library, so that the tests from outside are built with the very same program.

use std::process::ExitCode;

fn main() -> ExitCode {
    toktra_siem::main()
}
