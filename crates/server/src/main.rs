//! The binary `toktra-siem`. Everything it does lives in the library, where tests can reach it.

fn main() {}
