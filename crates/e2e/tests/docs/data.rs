//! Blocks that hold data: they can be read, and the documented code is the code that the other tests run.

use serde_json::Value;

use crate::blocks::Block;

/// What is wrong with a block that can be judged by reading it.
pub(crate) fn check(block: &Block) -> Result<(), String> {
    match block.language.as_str() {
        "json" => {
            serde_json::from_str::<Value>(&block.text).map(drop).map_err(|error| format!("this is no JSON: {error}"))
        }
        "toml" => block.text.parse::<toml::Table>().map(drop).map_err(|error| format!("this is no TOML: {error}")),
        "python" if block.is("verify") => same(block, include_str!("../../../../fixtures/verify/verify.py")),
        "js" if block.is("verify") => same(block, include_str!("../../../../fixtures/verify/verify.js")),
        "yaml" if block.file().is_none() && !block.is("no-run") => {
            Err("nothing reads this: give it a `file=` that a later command takes, or mark it `no-run`".to_owned())
        }
        _ => Ok(()),
    }
}

fn same(block: &Block, fixture: &str) -> Result<(), String> {
    if block.text == fixture {
        Ok(())
    } else {
        Err("this is not the code in fixtures/verify, which is tested".to_owned())
    }
}
