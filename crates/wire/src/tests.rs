//! Test deliveries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::certificate::Certificate;
use toktra_siem_core::delivery::{SearchOutcome, StageName};
use toktra_siem_core::event::EventType;
use toktra_siem_core::ids::{DeliveryId, EventId, StreamKind};

use crate::problem::Refused;
use crate::word::{Exact, Words};

/// What came of a test delivery. The members beside `streams` are those of the first stream that failed, else of the first one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Test")]
pub struct Test<W: Words = Exact> {
    /// The event that was sent.
    pub event_id: EventId,
    /// The platform has the event, in every stream.
    pub delivered: bool,
    /// The status of the answer; `null` where none came.
    pub http_status: Option<u16>,
    /// The start of the answer, with credentials taken out.
    pub response: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
    /// What happened on the way, in order.
    pub stages: Vec<TestStage<W>>,
    /// What a person should know or do; `null` where there is nothing to say.
    pub hint: Option<String>,
    /// The SIEM's certificate, if that was refused. To trust exactly this one, compare `fingerprint` on the SIEM's own machine and enter it
    /// as `tls_fingerprint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Box<Certificate>>,
    /// The search to paste in that SIEM: it finds the event.
    pub search: String,
    /// The address that shows the event to a person there. Only if it was delivered, and the connector's `web_url` or site tells the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_url: Option<String>,
    /// What came of looking for the event there. Only if it was delivered, and events can be looked for there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searchable: Option<Searchable<W>>,
    /// Each stream by itself; a platform may have two.
    pub streams: Vec<StreamTest<W>>,
    /// It was signed with a secret that was made for this test alone, because the settings name none: a receiver that verifies signatures
    /// refuses it. Absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temporary_secret: bool,
    /// Each sample by itself, if samples were sent: then the other members are those of the first that was not delivered, else of the first
    /// one, and `delivered` says whether all of them were. Once nothing answers, the rest is not sent.
    #[serde(default = "no_samples::<W>", skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<SampleTest<W>>,
}

/// An answer that says nothing of samples has none.
fn no_samples<W: Words>() -> Vec<SampleTest<W>> {
    Vec::new()
}

/// What came of a sample.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SampleTest")]
pub struct SampleTest<W: Words = Exact> {
    /// What it is a sample of.
    pub event_type: W::Word<EventType>,
    /// The event that was sent.
    pub event_id: EventId,
    /// The platform has the event, in every stream.
    pub delivered: bool,
    /// The search to paste in that SIEM: it finds the event.
    pub search: String,
    /// The address that shows the event to a person there. Only if it was delivered, and the connector's `web_url` or site tells the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_url: Option<String>,
    /// Each stream by itself; a platform may have two.
    pub streams: Vec<StreamTest<W>>,
}

/// What came of a test in one stream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StreamTest")]
pub struct StreamTest<W: Words = Exact> {
    /// Which.
    pub stream: W::Word<StreamKind>,
    /// The platform has the event.
    pub delivered: bool,
    /// The delivery in the history; `null` for settings that are not saved.
    pub delivery_id: Option<DeliveryId>,
    /// The status of the answer; `null` where none came.
    pub http_status: Option<u16>,
    /// The start of the answer, with credentials taken out.
    pub response: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
    /// What happened on the way, in order.
    pub stages: Vec<TestStage<W>>,
    /// What a person should know or do; `null` where there is nothing to say.
    pub hint: Option<String>,
    /// Why it failed, or what its success has to say.
    pub cause: Option<Cause>,
    /// The SIEM's certificate, if that was refused. To trust exactly this one, compare `fingerprint` on the SIEM's own machine and enter it
    /// as `tls_fingerprint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Box<Certificate>>,
    /// What came of looking for the event there. Only if it was delivered, and events can be looked for there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searchable: Option<Searchable<W>>,
    /// If it failed: a command for curl that sends a test event as the connector does, without secrets and signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproduce: Option<String>,
}

/// What came of looking for the event of a test where it was delivered. It makes no delivered test a failed one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TestSearch")]
pub struct Searchable<W: Words = Exact> {
    /// In a word.
    pub outcome: W::Word<SearchOutcome>,
    /// How long after the SIEM had taken the event it was found; absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searchable_after_ms: Option<u64>,
    /// In a sentence or two: how long it took, what to grant, or what to look at.
    pub message: String,
}

/// A stage of a test.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TestStage")]
pub struct TestStage<W: Words = Exact> {
    /// Which.
    pub stage: W::Word<StageName>,
    /// Whether it came to a good end.
    pub ok: bool,
    /// How long it took.
    pub duration_ms: u64,
    /// A fact about it, or what went wrong.
    pub detail: String,
}

/// How long the event of a test is looked for already.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TestSearching")]
pub struct Searching {
    /// In which stream.
    pub stream: StreamKind,
    /// Since the SIEM has taken it.
    pub after_ms: u64,
}

/// A line of a test that is told as it happens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TestLine {
    /// The first: the test is under way.
    Begun {
        /// The event that is sent.
        event_id: EventId,
    },
    /// The delivered event is looked for; told again and again while it is.
    Searching {
        /// In which stream, and since when.
        searching: Searching,
    },
    /// A stage has ended. Where an endpoint is prepared before the event is sent, a stage comes again, with all that it took so far.
    Stage {
        /// In which stream.
        stream: StreamKind,
        /// The stage.
        stage: TestStage,
    },
    /// The last: what came of the test.
    Ended {
        /// What is answered without `Accept: application/x-ndjson`.
        test: Test,
    },
    /// The last, where the service failed in the middle: what came of the test is not known.
    Failed(Refused),
}
