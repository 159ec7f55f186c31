//! What the script of live views does with one stream for all tabs, in Node.js with a clock and a network of its own.

use tokio::process::Command;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

#[tokio::test]
async fn one_way_at_a_time_and_each_tab_is_told_what_concerns_it() {
    let Some(node) = real::NODE.path() else { return };
    let mut command = Command::new(node);
    command.args(["-e", include_str!("live_hub.js")]);
    said(command, include_bytes!("../../../../page/assets/js/live.js")).await.done();
}
