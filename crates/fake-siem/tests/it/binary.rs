//! The stand-alone sink: its first line, its commands, its record file.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::client::{Failure, exchange};

struct Sink {
    child: Child,
    commands: ChildStdin,
    lines: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Sink {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fake-siem"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let address = next_line(&mut lines)["address"].as_str().unwrap().parse().unwrap();
        Self { child, commands, lines, address }
    }

    fn obey(&mut self, command: &str) -> Value {
        writeln!(self.commands, "{command}").unwrap();
        next_line(&mut self.lines)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Only where the test failed before `stop`; an error then means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn next_line(lines: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[tokio::test]
async fn the_sink_records_events_and_obeys() {
    let directory = tempfile::tempdir().unwrap();
    let record = directory.path().join("events");
    let path = record.to_str().unwrap();
    let mut sink = Sink::start(&["--platform", "splunk", "--token", "t", "--record", path]);
    let headers = [("authorization", "Splunk t")];
    let post = async |address, body: &'static str| {
        exchange(address, "POST", "/services/collector/event", &headers, body).await
    };
    let body = "{\"event\":{\"event_id\":\"a\"}}{\"event\":{\"event_id\":\n\"b\"}}{\"event\":\"\"}";
    assert_eq!(post(sink.address, body).await.unwrap().status, 400);
    let recorded = std::fs::read_to_string(&record).unwrap();
    assert_eq!(recorded, "{\"event_id\":\"a\"}\n{\"event_id\": \"b\"}\n");

    assert_eq!(sink.obey("counts"), json!({ "requests": 1, "answered": 1, "events": 2, "violations": 1 }));
    assert_eq!(sink.obey("violations")["violations"][0], "code 13: `event` is blank");
    assert_eq!(sink.obey("status 503"), json!({ "done": "status 503" }));
    assert_eq!(post(sink.address, body).await.unwrap().status, 503);
    sink.obey("healthy");
    sink.obey("down");
    assert!(matches!(post(sink.address, body).await, Err(Failure::Refused)));
    sink.obey("up");
    assert_eq!(post(sink.address, body).await.unwrap().status, 400);
    assert!(sink.obey("nonsense")["error"].is_string());
    assert_eq!(sink.obey("stop")["requests"], 3);
    assert!(sink.child.wait().unwrap().success());
}

#[tokio::test]
async fn every_platform_starts() {
    for (platform, path, header) in [
        ("datadog", "/api/v1/validate", ("dd-api-key", "t")),
        ("elasticsearch", "/", ("authorization", "ApiKey t")),
        ("serverless", "/", ("authorization", "ApiKey t")),
        ("opensearch", "/", ("authorization", "ApiKey t")),
    ] {
        let mut sink = Sink::start(&["--platform", platform, "--token", "t", "--counts"]);
        assert_eq!(exchange(sink.address, "GET", path, &[header], "").await.unwrap().status, 200, "{platform}");
        assert_eq!(sink.obey("held")["held"].as_array().map_or(0, Vec::len), 0, "{platform}");
        assert_eq!(sink.obey("stop")["answered"], 1);
    }
}
