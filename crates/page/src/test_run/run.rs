//! How far a test delivery has come: what was told so far, as the panel shows it.

use std::borrow::Cow;

use serde_json::{Map, Value};
use toktra_siem_core::certificate::Certificate;
use toktra_siem_core::delivery::{SearchOutcome, StageName};
use toktra_siem_core::event::samples::SAMPLED;
use toktra_siem_core::ids::{EventId, PlatformId, StreamKind};
use toktra_siem_platform::Registry;
use toktra_siem_platform::advice::pinnable;
use toktra_siem_wire::{SampleTest, StreamTest, TestLine, TestStage};

use crate::connectors::form::fields::in_labels;
use crate::show::{self, Html, Mood};

/// A stage, in words.
pub(super) trait Told {
    /// What it is, for people.
    fn name(&self) -> &'static str;
    /// A fact about it, or what went wrong; what to do about it is said below all stages.
    fn detail(&self) -> &str;
    /// How it went.
    fn badge(&self) -> Html;
    /// How long it took.
    fn took(&self) -> String;
}

impl Told for TestStage {
    fn name(&self) -> &'static str {
        match self.stage {
            StageName::Dns => "DNS",
            StageName::Tcp => "Connection",
            StageName::Tls => "TLS",
            StageName::Http => "Response",
            StageName::Write => "Event",
            StageName::Searchable => "Search",
        }
    }

    fn detail(&self) -> &str {
        self.detail.split_once(". ").map_or(&self.detail, |(first, _)| first)
    }

    fn badge(&self) -> Html {
        match (self.ok, self.stage) {
            (true, _) => show::badge(Mood::Good, "Done"),
            // The event was delivered all the same.
            (false, StageName::Searchable) => show::badge(Mood::Degraded, "Not seen"),
            (false, _) => show::badge(Mood::Failed, "Failed"),
        }
    }

    fn took(&self) -> String {
        show::millis(self.duration_ms)
    }
}

/// A stream, as far as it has come.
#[derive(Debug)]
pub struct Stream {
    kind: StreamKind,
    /// The stages that have ended.
    pub stages: Vec<TestStage>,
    /// How long its event is looked for, in milliseconds.
    searching: Option<u64>,
    /// What came of it, once it is over.
    pub ended: Option<StreamTest>,
}

impl Stream {
    /// What it is called, where there are two.
    pub fn name(&self) -> &'static str {
        match self.kind {
            StreamKind::Events => "Events",
            StreamKind::Logs => "Logs",
            StreamKind::Metrics => "Metrics",
        }
    }

    /// What it is at, while it is under way.
    pub fn next(&self) -> Option<Cow<'static, str>> {
        if self.ended.is_some() || self.stages.iter().any(|stage| !stage.ok) {
            return None;
        }
        let at = match self.stages.last().map(|stage| stage.stage) {
            None => Some("Looking up the name"),
            Some(StageName::Dns) => Some("Connecting"),
            Some(StageName::Tcp) => Some("Agreeing on encryption, or sending"),
            Some(StageName::Tls) => Some("Sending, and waiting for the answer"),
            Some(StageName::Http) => Some("Reading what became of the event"),
            Some(StageName::Write) => return self.searching.map(|ms| format!("Searching … {} s", ms / 1000).into()),
            Some(StageName::Searchable) => None,
        };
        at.map(Cow::Borrowed)
    }

    /// What the search came to, if no stage tells.
    pub fn unsearched(&self) -> Option<(Html, &str)> {
        let searched = self.ended.as_ref()?.searchable.as_ref()?;
        let told = self.stages.iter().any(|stage| stage.stage == StageName::Searchable);
        let word = if searched.outcome == SearchOutcome::NotFound { "Not found" } else { "Not done" };
        (!told).then(|| (show::badge(Mood::Off, word), searched.message.as_str()))
    }

    /// What to look at, if the event was looked for and not found: in two words, and in sentences.
    pub fn not_found(&self) -> Option<(&'static str, &str)> {
        let searched = self.ended.as_ref()?.searchable.as_ref()?;
        let told = self.stages.iter().any(|stage| stage.stage == StageName::Searchable && !stage.ok);
        told.then_some((searched.outcome.label(), searched.message.as_str()))
    }
}

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Running,
    Delivered,
    Partly,
    Failed,
    /// It was not made, or its outcome is not known.
    Refused(String),
}

/// How a certificate that is shown comes into the settings.
#[derive(Debug)]
pub(super) enum Way {
    /// By hand.
    Typed,
    /// Through the page of this address, which edits the connector.
    Page(String),
    /// A script puts it into the form, which is at hand.
    Script,
    /// The operator sets this variable of the connector, which the environment describes.
    Variable(String),
}

/// A test delivery, as far as it has come.
#[derive(Debug)]
pub struct Run {
    registry: Registry,
    platform: PlatformId,
    /// What takes the event.
    receiver: String,
    search_place: &'static str,
    opens: &'static str,
    stored: bool,
    way: Way,
    state: State,
    /// The event, once there is one.
    pub event_id: Option<EventId>,
    /// The search that finds it, if it was delivered.
    pub search: Option<String>,
    open_url: Option<String>,
    /// It was signed with a secret that nobody else knows.
    pub temporary_secret: bool,
    /// Its streams, as they come; of samples, those of the one that is under way, in the end of the first that was not delivered.
    pub streams: Vec<Stream>,
    /// How many events were begun.
    begun: usize,
    /// The samples, once all is over; none of a test event.
    pub samples: Vec<SampleTest>,
}

impl Run {
    /// One that is about to begin, of a connector as it is `stored`, or of settings that are not.
    pub(super) fn begun(registry: &Registry, platform: PlatformId, config: &Map<String, Value>, stored: bool) -> Self {
        let search_place = registry.get(platform).map_or("In the SIEM", |platform| platform.search_place(config));
        let opens = registry.descriptor(platform).map_or("", |platform| platform.opens);
        Self {
            registry: registry.clone(),
            platform,
            receiver: registry.receiver(platform, config),
            search_place,
            opens,
            stored,
            way: Way::Typed,
            state: State::Running,
            event_id: None,
            search: None,
            open_url: None,
            temporary_secret: false,
            streams: Vec::new(),
            begun: 0,
            samples: Vec::new(),
        }
    }

    /// The same, with a way for a certificate into the settings.
    pub(super) fn with(self, way: Way) -> Self {
        Self { way, ..self }
    }

    /// Whether the certificate that was refused may be trusted by its fingerprint.
    pub fn pinnable(&self, ended: &StreamTest, shown: &Certificate) -> bool {
        ended.cause.as_ref().is_some_and(|cause| pinnable(&cause.code, shown))
    }

    /// Whether a button can fill in the form.
    pub fn fills(&self) -> bool {
        matches!(self.way, Way::Script)
    }

    /// Where this certificate is filled in as the one to trust, unless a form is at hand.
    pub fn edit(&self, shown: &Certificate) -> Option<String> {
        let Way::Page(edit) = &self.way else { return None };
        Some(format!("{edit}?tls_fingerprint={}", shown.fingerprint.replace(':', "")))
    }

    /// What the operator sets to trust this certificate, if the connector is described by the environment.
    pub fn variable(&self, shown: &Certificate) -> Option<String> {
        let Way::Variable(name) = &self.way else { return None };
        Some(format!("{name}={}", shown.fingerprint))
    }

    /// What is run on the SIEM's machine to compare a fingerprint.
    pub fn compare(&self) -> &'static str {
        "openssl x509 -in <file> -noout -fingerprint -sha256"
    }

    /// It was not made.
    pub(super) fn refuse(&mut self, why: Option<String>) {
        self.state = State::Refused(why.unwrap_or_else(|| "Nothing was sent.".to_owned()));
    }

    /// Whether nothing more comes.
    pub fn is_over(&self) -> bool {
        self.state != State::Running
    }

    /// Takes the next line.
    pub(super) fn take(&mut self, line: TestLine) {
        match line {
            TestLine::Begun { event_id } => {
                self.event_id = Some(event_id);
                self.begun += 1;
                self.streams.clear();
            }
            TestLine::Searching { searching } => self.stream(searching.stream).searching = Some(searching.after_ms),
            TestLine::Stage { stream, stage } => {
                let stages = &mut self.stream(stream).stages;
                match stages.iter_mut().find(|present| present.stage == stage.stage) {
                    // Where an endpoint is prepared first, a stage comes again, with all that it took.
                    Some(present) => *present = stage,
                    None => stages.push(stage),
                }
            }
            TestLine::Ended { test } => {
                self.event_id = Some(test.event_id);
                if !test.samples.is_empty() {
                    self.streams.clear();
                    self.samples = test.samples;
                }
                let some = test.streams.iter().any(|stream| stream.delivered) || self.arrived() > 0;
                self.search = Some(test.search).filter(|search| some && !search.is_empty());
                self.open_url = test.open_url;
                self.temporary_secret = test.temporary_secret;
                self.state = match (test.delivered, some) {
                    (true, _) => State::Delivered,
                    (false, true) => State::Partly,
                    (false, false) => State::Failed,
                };
                for mut ended in test.streams {
                    self.in_labels(&mut ended);
                    let stream = self.stream(ended.stream);
                    stream.stages = std::mem::take(&mut ended.stages);
                    stream.ended = Some(ended);
                }
            }
            TestLine::Failed(refused) => self.state = State::Refused(refused.error.message),
        }
    }

    /// Has what the API says of settings name them as the form does.
    fn in_labels(&self, ended: &mut StreamTest) {
        let stages = ended.stages.iter_mut().map(|stage| &mut stage.detail);
        let searched = ended.searchable.iter_mut().map(|searched| &mut searched.message);
        for text in stages.chain(searched).chain(&mut ended.hint) {
            *text = in_labels(&self.registry, self.platform, text);
        }
    }

    /// How many samples were delivered.
    fn arrived(&self) -> usize {
        self.samples.iter().filter(|sample| sample.delivered).count()
    }

    fn stream(&mut self, kind: StreamKind) -> &mut Stream {
        let place = self.streams.iter().position(|stream| stream.kind == kind).unwrap_or_else(|| {
            self.streams.push(Stream { kind, stages: Vec::new(), searching: None, ended: None });
            // Logs before metrics, whichever is faster.
            self.streams.sort_by_key(Stream::name);
            self.streams.iter().position(|stream| stream.kind == kind).unwrap_or(0)
        });
        &mut self.streams[place]
    }

    /// What came of each stream that is over.
    pub fn ended(&self) -> impl Iterator<Item = &StreamTest> {
        self.streams.iter().filter_map(|stream| stream.ended.as_ref())
    }

    /// How it stands, in a word.
    pub fn badge(&self) -> Html {
        match self.state {
            State::Running => show::badge(Mood::Waiting, "Under way"),
            State::Delivered => show::badge(Mood::Good, "Delivered"),
            State::Partly => show::badge(Mood::Degraded, "Delivered in part"),
            State::Failed => show::badge(Mood::Failed, "Not delivered"),
            State::Refused(_) => show::badge(Mood::Failed, "Not sent"),
        }
    }

    /// How it stands, in a sentence.
    pub fn sentence(&self) -> String {
        let name = &self.receiver;
        match &self.state {
            State::Running if self.begun > 1 => format!("Sample {} is on its way to {name}.", self.begun),
            State::Running => format!("A test event is on its way to {name}."),
            State::Delivered | State::Partly | State::Failed if !self.samples.is_empty() => {
                format!("{name} accepted {} of {} samples.", self.arrived(), SAMPLED.len())
            }
            State::Delivered => match self
                .streams
                .iter()
                .filter_map(|stream| stream.ended.as_ref())
                .map(|ended| ended.duration_ms)
                .max()
            {
                Some(ms) => {
                    let ended = self.streams.iter().filter_map(|stream| stream.ended.as_ref()?.searchable.as_ref());
                    let found = ended.filter(|searched| searched.searchable_after_ms.is_some());
                    let found = found.map(|searched| format!(", {}", searched.message)).collect::<Vec<_>>().concat();
                    format!("Delivered to {name} in {}{found}.", show::millis(ms))
                }
                None => format!("Delivered to {name}."),
            },
            State::Partly => format!("{name} accepted the event in one stream and not in the other."),
            State::Failed => format!("{name} does not have the event."),
            State::Refused(why) => why.clone(),
        }
    }

    /// What takes the event.
    pub fn receiver(&self) -> &str {
        &self.receiver
    }

    /// The link that shows the event in the SIEM.
    pub fn open(&self) -> Option<Html> {
        self.open_url.as_ref().map(|url| show::open_in(self.opens, url))
    }

    /// Where the search is pasted.
    pub fn search_place(&self) -> &'static str {
        self.search_place
    }

    /// It arrived everywhere: what was tried works.
    pub fn is_delivered(&self) -> bool {
        self.state == State::Delivered
    }

    /// It was a test of the connector as it is stored, which is in its history.
    pub fn is_stored(&self) -> bool {
        self.stored
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EVENT: &str = "01946983-4c40-715c-8289-ec2d0a9167ec";

    fn line(value: Value) -> TestLine {
        serde_json::from_value(value).unwrap()
    }

    fn stage(stream: &str, name: &str, ok: bool, ms: u64) -> TestLine {
        line(json!({ "stream": stream, "stage": { "stage": name, "ok": ok, "duration_ms": ms, "detail": "" } }))
    }

    fn ended(stream: &str, delivered: bool) -> Value {
        json!({
            "stream": stream, "delivered": delivered, "delivery_id": null, "http_status": 202, "response": "{}", "duration_ms": 1200,
            "stages": [], "hint": null, "cause": null,
        })
    }

    #[test]
    fn stages_tick_off_in_each_stream_and_come_again_where_an_endpoint_is_prepared() {
        let mut run = Run::begun(&Registry::standard(), PlatformId::fixed("datadog"), &Map::new(), false);
        run.take(line(json!({ "event_id": EVENT })));
        assert!(run.event_id.is_some() && run.streams.is_empty() && !run.is_over());
        run.take(stage("metrics", "dns", true, 1));
        run.take(stage("logs", "dns", true, 1));
        run.take(stage("logs", "http", true, 5));
        run.take(stage("logs", "http", true, 9));
        let names: Vec<_> =
            run.streams.iter().map(|stream| (stream.name(), stream.stages.len(), stream.next())).collect();
        assert_eq!(
            names,
            [("Logs", 2, Some("Reading what became of the event".into())), ("Metrics", 1, Some("Connecting".into()))]
        );
        assert_eq!(run.streams[0].stages[1].took(), "9 ms");
        run.take(stage("metrics", "tcp", false, 2));
        assert_eq!(run.streams[1].next(), None);
    }

    #[test]
    fn the_outcome_is_told_in_a_sentence() {
        let end = |delivered: bool, streams: Value| {
            let mut run = Run::begun(&Registry::standard(), PlatformId::fixed("datadog"), &Map::new(), true);
            run.take(line(
                json!({ "test": {
                    "event_id": EVENT, "delivered": delivered, "http_status": 202, "response": "", "duration_ms": 1, "stages": [],
                    "hint": null, "search": "s", "streams": streams,
                }  }),
            ));
            (run.is_over(), run.sentence())
        };
        assert_eq!(end(true, json!([ended("logs", true)])), (true, "Delivered to Datadog in 1.2 s.".to_owned()));
        let partly = end(false, json!([ended("logs", true), ended("metrics", false)]));
        assert_eq!(partly, (true, "Datadog accepted the event in one stream and not in the other.".to_owned()));
        assert_eq!(end(false, json!([ended("logs", false)])), (true, "Datadog does not have the event.".to_owned()));
    }

    #[test]
    fn a_failure_in_the_middle_is_told() {
        let mut run = Run::begun(&Registry::standard(), PlatformId::fixed("splunk"), &Map::new(), false);
        run.take(line(json!({ "error": { "code": "unavailable", "message": "It failed." } })));
        assert_eq!((run.is_over(), run.sentence()), (true, "It failed.".to_owned()));
    }
}
