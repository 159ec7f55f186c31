//! What the script of live views does with one stream for all tabs, in Node.js with a clock and a network of its own.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use toktra_siem_testkit::real;

#[tokio::test]
async fn one_way_at_a_time_and_each_tab_is_told_what_concerns_it() {
    let Some(node) = real::node() else { return };
    let mut child = Command::new(node)
        .args(["-e", include_str!("live_hub.js")])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = include_bytes!("../../../../page/assets/js/live.js");
    child.stdin.take().unwrap().write_all(script).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
