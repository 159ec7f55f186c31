//! An import, against a server that has no room, loses connections, refuses lines, and knows what it has.

use std::collections::HashSet;
use std::path::PathBuf;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::responder::{Answer, Responder, Seen, answer, refusal};

/// The lines of a request as JSON.
fn events(seen: &Seen) -> Vec<Value> {
    seen.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Takes events in as the API does: a severity it does not know refuses the whole request, naming each such line.
fn intake() -> impl Fn(&Seen) -> Answer + Send + Sync + 'static {
    let known: Mutex<HashSet<String>> = Mutex::default();
    move |seen| {
        let events = events(seen);
        let bad = |event: &Value| event["severity"] == "urgent";
        let faults: Vec<Value> = events
            .iter()
            .enumerate()
            .filter(|(_, event)| bad(event))
            .map(|(at, _)| json!({"pointer": format!("/{at}/severity"), "message": "severity: is none"}))
            .collect();
        if !faults.is_empty() {
            return refusal(422, "The request was refused as a whole.", &json!(faults));
        }
        if events.iter().any(|event| event["severity"] == "unnamed") && events.len() > 1 {
            return refusal(400, "Something in it is wrong.", &json!([]));
        }
        if events.iter().any(|event| event["severity"] == "unnamed") {
            return refusal(400, "It is wrong.", &json!([]));
        }
        let mut known = known.lock();
        let fresh = events.iter().filter(|event| known.insert(event["event_id"].as_str().unwrap().to_owned())).count();
        answer(202, &json!({"accepted": fresh, "duplicates": events.len() - fresh, "events": []}))
    }
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of these severities, one event a line.
    fn file(&self, name: &str, severities: &[&str]) -> String {
        let line = |s: &&str| json!({"event_type": "anomaly", "severity": s}).to_string();
        let lines: Vec<String> = severities.iter().map(line).collect();
        std::fs::write(
            self.path(name),
            lines.join(
                "
",
            ) + "
",
        )
        .unwrap();
        self.path(name).display().to_string()
    }
}

#[tokio::test]
async fn a_second_run_sends_the_same_events_and_appended_ones_are_new() {
    let (server, place) = (Responder::start(intake()).await, Place::new());
    let file = place.file("events.ndjson", &["low"; 50]);
    assert_eq!(server.text(&["event", "import", &file]).await, "50 accepted, 0 already there.\n");
    assert_eq!(server.text(&["event", "import", &file]).await, "0 accepted, 50 already there.\n");
    let file = place.file("events.ndjson", &["low"; 60]);
    let json: Value = serde_json::from_str(&server.text(&["event", "import", &file, "--json"]).await).unwrap();
    assert_eq!(json, json!({"accepted": 10, "duplicates": 50, "bad": 0}));
    // The same lines of another source are others.
    let text = server.text(&["event", "import", &file, "--source", "another day"]).await;
    assert_eq!(text, "60 accepted, 0 already there.\n");
    let text = server.text(&["event", "import", &file, "--after-line", "55"]).await;
    assert_eq!(text, "0 accepted, 5 already there.\n");
    let (text, outcome) = server.run(&["event", "import", "-"], b"{\"a\":1}\n\n{\"event_id\":\"given\"}").await;
    outcome.unwrap();
    assert_eq!(text, "2 accepted, 0 already there.\n");
    assert_eq!(events(&server.seen().pop().unwrap())[1]["event_id"], "given");
}

#[tokio::test]
async fn the_first_bad_line_ends_it_and_what_is_before_it_is_accepted() {
    let (server, place) = (Responder::start(intake()).await, Place::new());
    let file = place.file("events.ndjson", &["low", "low", "low", "urgent", "low", "urgent"]);
    let (code, text) = server.fails(&["event", "import", &file]).await;
    assert_eq!(code, 1);
    assert!(
        text.contains("Line 4 is no valid event: severity: is none.") && text.contains("3 events accepted"),
        "{text}"
    );
    assert!(text.contains("up to line 3"), "{text}");
    // Corrected, and run again: nothing is there twice.
    let file = place.file("events.ndjson", &["low"; 6]);
    assert_eq!(server.text(&["event", "import", &file]).await, "3 accepted, 3 already there.\n");
    // Found here already: no line behind it is sent.
    std::fs::write(place.path("x.ndjson"), "{\"severity\":\"low\"}\nnonsense\n{\"severity\":\"low\"}\n").unwrap();
    let before = server.seen().len();
    let (code, text) = server.fails(&["event", "import", place.path("x.ndjson").to_str().unwrap()]).await;
    assert!(code == 1 && text.contains("Line 2") && text.contains("1 event accepted"), "{text}");
    assert_eq!(server.seen()[before..].iter().map(|seen| events(seen).len()).sum::<usize>(), 1);
}

#[tokio::test]
async fn bad_lines_are_collected_and_the_rest_goes_on() {
    let (server, place) = (Responder::start(intake()).await, Place::new());
    let file = place.file("events.ndjson", &["low", "urgent", "low", "unnamed", "low", "low", "urgent", "low"]);
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + "nonsense\n").unwrap();
    let bad = place.path("bad.ndjson");
    let arguments = ["event", "import", &file, "--skip-bad", bad.to_str().unwrap()];
    let (text, outcome) = server.run(&arguments, b"").await;
    assert_eq!(text, "5 accepted, 0 already there, 4 bad lines.\n");
    assert_eq!(outcome.unwrap_err().code(), 3);
    let kept = std::fs::read_to_string(&bad).unwrap();
    let mut lines: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["line"].as_u64());
    let told: Vec<_> =
        lines.iter().map(|line| (line["line"].as_u64().unwrap(), line["reason"].as_str().unwrap())).collect();
    assert_eq!(
        told,
        [(2, "severity: is none"), (4, "It is wrong."), (7, "severity: is none"), (9, "is not a JSON object")]
    );
    assert!(lines[0]["text"].as_str().unwrap().contains("urgent"));
    let (code, text) = server.fails(&arguments).await;
    assert!(code == 2 && text.contains("exists already"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_server_without_room_or_away_for_a_while_is_waited_for() {
    let place = Place::new();
    let (taken, tries) = (intake(), Mutex::new(0));
    let server = Responder::start(move |seen| {
        *tries.lock() += 1;
        match *tries.lock() {
            1 => Answer { headers: "retry-after: 1\r\n".into(), ..refusal(429, "Full.", &json!([])) },
            2 => refusal(503, "Not now.", &json!([])),
            // Neither a status nor a body: the connection is lost after the events were taken in.
            3 => {
                taken(seen);
                Answer { status: 202, headers: "transfer-encoding: chunked\r\n".into(), body: String::new() }
            }
            _ => taken(seen),
        }
    })
    .await;
    let file = place.file("events.ndjson", &["low"; 5]);
    assert_eq!(server.text(&["event", "import", &file]).await, "0 accepted, 5 already there.\n");
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_no_waiting_mends_ends_it_at_once_and_what_does_not_come_back_in_the_end() {
    let place = Place::new();
    let file = place.file("events.ndjson", &["low"; 5]);
    let server = Responder::start(|_| refusal(507, "The disk budget is used up.", &json!([]))).await;
    let (code, text) = server.fails(&["event", "import", &file]).await;
    assert!(code == 1 && text.contains("507") && text.contains("0 events accepted"), "{text}");
    assert_eq!(server.seen().len(), 1);
    let server = Responder::start(|_| refusal(503, "Not now.", &json!([]))).await;
    let (code, text) = server.fails(&["event", "import", &file]).await;
    assert!(code == 1 && text.contains("503") && server.seen().len() > 100, "{} {text}", server.seen().len());
}

#[tokio::test]
async fn a_file_of_any_size_goes_out_in_bounded_requests() {
    let (server, place) = (Responder::start(intake()).await, Place::new());
    let line = format!("{{\"severity\":\"low\",\"summary\":\"{}\"}}\n", "x".repeat(4000));
    std::fs::write(place.path("big.ndjson"), line.repeat(2000)).unwrap();
    let text = server.text(&["event", "import", place.path("big.ndjson").to_str().unwrap()]).await;
    assert_eq!(text, "2000 accepted, 0 already there.\n");
    let seen = server.seen();
    assert!(seen.len() >= 8 && seen.iter().all(|seen| seen.body.len() <= 1024 * 1024), "{}", seen.len());
}
