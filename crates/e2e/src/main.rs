//! The program under test: the same `main` as the product's binary, built here because cargo tells the path of a binary only to the
//! tests of its own package.

use std::process::ExitCode;

fn main() -> ExitCode {
    toktra_siem::main()
}
