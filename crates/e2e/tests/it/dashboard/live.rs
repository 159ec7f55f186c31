//! Live views: made once for all who look, only what changed, compressed, and for whom they are and no longer.

use std::io::Write as _;
use std::time::Duration;

use flate2::write::GzDecoder;
use tokio::time::timeout;
use toktra_siem_identity::sessions::IDLE;
use toktra_siem_testkit::client::Lines;
use toktra_siem_testkit::prelude::*;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_mins(1);
const LIST: &str = "/live?view=/integrations/siem/live";

/// A stream as the script of a page reads it.
struct Stream {
    lines: Lines,
    decoder: Option<GzDecoder<Vec<u8>>>,
    text: String,
    /// Bytes that came over the wire.
    wire: usize,
}

impl Stream {
    async fn open(tab: &Tab, path: &str, gzip: bool) -> Self {
        let headers: &[_] = if gzip { &[("accept-encoding", "gzip, br")] } else { &[] };
        let lines = tab.follow(path, headers).await;
        assert_eq!(lines.status, 200, "{path}");
        Self { lines, decoder: gzip.then(|| GzDecoder::new(Vec::new())), text: String::new(), wire: 0 }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.lines.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What the next event says, `{}` where it only says that all is well; `None` at the end.
    async fn event(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let data = event.lines().find_map(|line| line.strip_prefix("data: "))?;
                return Some(serde_json::from_str(data).unwrap());
            }
            let piece = timeout(PATIENCE, self.lines.piece()).await.expect("something comes")?;
            self.wire += piece.len();
            match &mut self.decoder {
                None => self.text.push_str(std::str::from_utf8(&piece).unwrap()),
                Some(decoder) => {
                    decoder.write_all(&piece).unwrap();
                    decoder.flush().unwrap();
                    self.text.push_str(std::str::from_utf8(&std::mem::take(decoder.get_mut())).unwrap());
                }
            }
        }
    }

    /// The next event that shows something.
    async fn shown(&mut self) -> Value {
        loop {
            let event = self.event().await.expect("the stream goes on");
            if event["view"].is_string() {
                return event;
            }
        }
    }
}

fn html(event: &Value) -> &str {
    event["html"].as_str().unwrap()
}

async fn rename(world: &Here, connector: &Value, name: &str) {
    let path = format!("/v1/siem/connectors/{}", connector["id"].as_str().unwrap());
    world.change(&path, &json!({ "name": name })).await;
}

#[tokio::test]
async fn all_who_look_are_sent_the_same_rendering_and_only_the_row_that_changed() {
    let world = World::here().await;
    let mut connectors = Vec::new();
    for n in 0..30 {
        connectors.push(world.idle_connector(&world, &format!("Connector {n:02}")).await);
    }
    let (ada, bob) = (Tab::of_admin(&world).await, Tab::of(&world, "bob@company.example", "admin").await);
    let mut streams = [
        Stream::open(&ada, LIST, true).await,
        Stream::open(&ada, "/integrations/siem/live", false).await,
        Stream::open(&bob, LIST, true).await,
    ];
    let mut first = Vec::new();
    for stream in &mut streams {
        let event = stream.shown().await;
        assert_eq!((event["since"].as_u64(), html(&event).matches("<tr id=").count()), (Some(0), 30));
        first.push(event["version"].number());
    }
    assert!(first.iter().all(|version| *version == first[0]), "made once for all: {first:?}");
    let before = streams[0].wire;
    rename(&world, &connectors[7], "Connector 07, renamed").await;
    for stream in &mut streams {
        let event = stream.shown().await;
        assert_eq!(event["since"].as_u64(), Some(first[0]));
        let html = html(&event);
        assert!(html.starts_with(&format!("<hx-partial hx-target=\"#c-{}\"", connectors[7]["id"].as_str().unwrap())));
        assert_eq!((html.matches("<tr").count(), html.matches("Connector 07, renamed").count()), (1, 3), "{html}");
    }
    let sent = streams[0].wire - before;
    assert!(sent < 1500, "one row, compressed, in {sent} bytes");
    assert!(before < 30 * 300, "the whole list, compressed, in {before} bytes");
}

#[tokio::test]
async fn a_connector_that_comes_brings_its_row_and_the_others_stay_where_they_are() {
    let world = World::here().await;
    for name in ["A", "C"] {
        world.idle_connector(&world, name).await;
    }
    let tab = Tab::of_admin(&world).await;
    let mut stream = Stream::open(&tab, LIST, true).await;
    stream.shown().await;
    world.idle_connector(&world, "B").await;
    let event = stream.shown().await;
    let html = html(&event);
    assert_eq!((html.matches("<tr id=").count(), html.matches("data-same></tr>").count()), (3, 2), "{html}");
}

#[tokio::test]
async fn a_page_that_knows_a_version_is_not_sent_it_again() {
    let world = World::here().await;
    let connector = world.idle_connector(&world, "A").await;
    let tab = Tab::of_admin(&world).await;
    let mut stream = Stream::open(&tab, LIST, true).await;
    let first = stream.shown().await;
    let again = format!("{LIST}@{}", first["version"]);
    let mut second = Stream::open(&tab, &again, true).await;
    let mut behind = Stream::open(&tab, &format!("{LIST}@17"), true).await;
    assert_eq!(behind.shown().await["since"], 0, "of a version that nobody knows, the whole");
    rename(&world, &connector, "B").await;
    let news = second.shown().await;
    assert_eq!(news["since"], first["version"], "nothing came before that");
    // Where no stream comes through, the same is asked for again and again.
    let mut once = Stream::open(&tab, &format!("{again}&once=yes"), false).await;
    assert_eq!(once.shown().await["version"], news["version"]);
    while let Some(event) = once.event().await {
        assert_eq!(event, json!({}));
    }
}

#[tokio::test]
async fn a_stream_is_neither_kept_nor_held_back_and_has_a_comment_for_proxies() {
    let (_world, tab) = World::here_as_viewer().await;
    let zipped = Stream::open(&tab, LIST, true).await;
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    let mut plain = Stream::open(&tab, LIST, false).await;
    for stream in [&zipped, &plain] {
        assert_eq!(stream.header("content-type"), Some("text/event-stream"));
        assert_eq!(stream.header("x-accel-buffering"), Some("no"));
        assert_eq!(stream.header("cache-control"), Some("no-store"));
        assert_eq!(stream.header("vary"), Some("accept-encoding"));
    }
    assert_eq!(plain.header("content-encoding"), None);
    let piece = plain.lines.piece().await.unwrap();
    let (comment, data) = (piece.starts_with(b": still here\n"), piece.starts_with(b"data: "));
    assert!(comment || data, "{piece:?}");
}

#[tokio::test]
async fn each_role_has_its_own_and_nobodys_token_is_in_it() {
    let world = World::here().await;
    world.idle_connector(&world, "A").await;
    let (ada, vic) = (Tab::of_admin(&world).await, Tab::of_viewer(&world).await);
    let shown = Stream::open(&ada, LIST, true).await.shown().await;
    assert!(html(&shown).contains("role=\"switch\"") && html(&shown).contains("name=\"csrf\" value=\"\""));
    assert!(!html(&shown).contains(&ada.cookie("csrf").unwrap()));
    let shown = Stream::open(&vic, LIST, true).await.shown().await;
    assert!(html(&shown).contains("<tr id=") && !html(&shown).contains("<form"), "{shown}");
}

#[tokio::test]
async fn what_is_another_orgs_or_nobodys_is_gone() {
    let world = World::here().await;
    let org = world.tenant("Other").await;
    let theirs = world.key(&org, &["admin"]).await.0;
    let foreign = world.idle_connector(&theirs, "Theirs").await;
    let tab = Tab::of_admin(&world).await;
    let view = format!("/integrations/siem/{}/live", foreign["id"].as_str().unwrap());
    assert_eq!(tab.part(&view).await.status, 404);
    let mut stream = Stream::open(&tab, &format!("/live?view={view}&view=/nonsense"), true).await;
    assert_eq!(stream.shown().await["html"], Value::Null);
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_with_its_role() {
    let world = World::here().await;
    let (ada, vic) = (Tab::of_admin(&world).await, Tab::of_viewer(&world).await);
    let bob = world.person("bob@company.example", "admin").await;
    let tab = Tab::new(&world);
    tab.log_in("bob@company.example").await;
    let mut streams = Vec::new();
    for tab in [&ada, &vic, &tab] {
        let mut stream = Stream::open(tab, LIST, true).await;
        stream.shown().await;
        streams.push(stream);
    }
    vic.post("/logout", &[]).await.expect_status(303);
    world.change(&format!("/v1/users/{bob}"), &json!({ "role": "viewer" })).await;
    for stream in &mut streams[1..] {
        while let Some(event) = stream.event().await {
            assert_eq!(event, json!({}), "nothing new is told to whoever has gone");
        }
        assert!(stream.decoder.take().unwrap().finish().is_ok(), "a compressed stream ends as one");
    }
    world.make("/v1/siem/connectors", &splunk_body("New")).await;
    assert!(html(&streams[0].shown().await).contains("New"), "the others go on");
}

#[tokio::test]
async fn who_only_watches_is_logged_out_like_everybody_who_does_nothing() {
    let (world, tab) = World::here_as_admin().await;
    let mut stream = Stream::open(&tab, LIST, true).await;
    stream.shown().await;
    world.pass(IDLE / 2);
    Stream::open(&tab, &format!("{LIST}&once=yes"), false).await.shown().await;
    assert_eq!(tab.follow("/integrations/siem/live", &[]).await.status, 200);
    world.pass(IDLE / 2);
    let answer = tab.get("/integrations/siem").await.expect_status(303);
    assert!(answer.header("location").is_some_and(|to| to.starts_with("/login")));
    while stream.event().await.is_some() {}
}
