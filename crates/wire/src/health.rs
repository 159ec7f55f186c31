//! How connectors stand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::{ConnectorId, DeliveryId, EventId, PlatformId, Seq, StreamKind};
use toktra_siem_core::notice::Acknowledgement;
use toktra_siem_core::time::Timestamp;

use crate::word::{Exact, Words};

/// How a connector stands.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Health")]
pub struct Health<W: Words = Exact> {
    /// The connector.
    pub connector_id: ConnectorId,
    /// Its name.
    pub name: String,
    /// Its platform.
    pub platform: PlatformId,
    /// Whether it is switched on.
    pub active: bool,
    /// That of its worst stream.
    pub state: W::Word<HealthState>,
    /// The same for a person: that of its worst stream.
    pub sentence: String,
    /// Its streams.
    pub streams: Vec<StreamHealth<W>>,
    /// What somebody knows about it: until then nothing more is told of it. `null` if nobody said anything.
    #[serde(default)]
    pub acknowledged: Option<Acknowledgement>,
}

/// How a stream stands.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StreamHealth")]
pub struct StreamHealth<W: Words = Exact> {
    /// Which of the connector's streams.
    pub stream: W::Word<StreamKind>,
    /// The state.
    pub state: W::Word<HealthState>,
    /// The state and what goes with it, for a person.
    pub sentence: String,
    /// Events that are still to be delivered: waiting, on their way, or parked as failed and tried again. Rejected ones are not among them: they
    /// need a person. The same as `undelivered.total`.
    pub lag_events: u64,
    /// The age, since its acceptance, of the oldest of these events; 0 if there is none.
    pub lag_seconds: u64,
    /// When the oldest event was accepted that has not arrived and is still to be delivered: on its way, waiting, or parked as failed.
    pub oldest_undelivered_at: Option<Timestamp>,
    /// That event.
    pub oldest_undelivered_event_id: Option<EventId>,
    /// Events that are still to be delivered. None as long as the connector was never switched on: it starts with what comes after that.
    pub undelivered: UndeliveredEvents,
    /// Events that a delivery left behind.
    pub parked: ParkedEvents,
    /// Events a minute. At most ten seconds old; a restart does not lose them.
    pub rates: DeliveryRates,
    /// From acceptance to delivery, over the last hour; `null` where nothing was delivered.
    pub latency: Option<DeliveryLatency>,
    /// When the SIEM last took something.
    pub last_success: Option<Timestamp>,
    /// What last went wrong: of the newest attempt that failed, probes included.
    pub last_error: Option<LastError>,
    /// Events that were still to be delivered when it was found that their stored bytes do not match their checksum any more. `null` if there
    /// are none.
    #[serde(default)]
    pub damaged: Option<DamagedEvents>,
    /// What it goes without although its events arrive, such as an index template; told for as long as it is so.
    pub warning: Option<Cause>,
    /// Why the oldest event that waits has not arrived a minute after its acceptance. `null` if none has waited for longer.
    pub delay: Option<Delay<W>>,
    /// While it does not send: since when.
    pub since: Option<Timestamp>,
    /// While it does not send: when it tries again.
    pub next_probe_at: Option<Timestamp>,
}

/// Why events are late.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Delay")]
pub struct Delay<W: Words = Exact> {
    /// The reason. `last_error` and `sentence` say more.
    pub reason: W::Word<DelayReason>,
    /// Since when that is so, if it is known.
    pub since: Option<Timestamp>,
}

/// Why events are late, by which side has to do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DelayReason {
    /// The connector, or its metrics, are switched off.
    Paused,
    /// The SIEM takes nothing at the moment; it is tried again and again.
    Down,
    /// A person has to change the settings, here or there.
    Misconfigured,
    /// The connector cannot be used: its settings or its secrets cannot be read.
    Unusable,
    /// A request is under way, and the SIEM has not answered yet.
    Sending,
    /// A request has failed and is sent again, after the pause that the SIEM asked for, or one that grows.
    Retrying,
    /// The SIEM has accepted events and has not confirmed yet that they are indexed.
    Confirming,
    /// These events have failed before and are sent again after a pause; others arrive.
    Failing,
    /// Events arrive, and there are many.
    CatchingUp,
    /// This server has just started, and takes up what waits.
    Starting,
    /// This server cannot do its part: it cannot read or write its own database, say.
    OwnFailure,
    /// Nothing moves, and nothing that is known explains it: a fault of this server.
    Stalled,
}

/// Events that are still to be delivered.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct UndeliveredEvents {
    /// All of them.
    pub total: u64,
    /// In the log, not taken up yet.
    pub waiting: u64,
    /// In deliveries, or set apart to be sent beside the fresh ones.
    pub pending: u64,
    /// Parked after their delivery failed; sent again by themselves.
    pub failed: u64,
}

/// Events that a delivery left behind.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ParkedEvents {
    /// Sent again by themselves once the endpoint takes them.
    pub failed: u64,
    /// Refused for good: only a person sends them again.
    pub rejected: u64,
}

/// Events that cannot be delivered, because their stored bytes are not those that were accepted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DamagedEvents {
    /// How many.
    pub total: u64,
    /// When the last of them was found; `null` once its record is past its retention, as are the next two.
    pub last_found_at: Option<Timestamp>,
    /// Its number within the org.
    pub last_sequence: Option<Seq>,
    /// Its id; `null` as well if that cannot be read any more.
    pub last_event_id: Option<EventId>,
}

/// How fast events flow.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryRates {
    /// Over the last five minutes.
    pub last_5_minutes: DeliveryRate,
    /// Over the last hour.
    pub last_hour: DeliveryRate,
}

/// Events a minute.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryRate {
    /// Taken by the SIEM.
    pub delivered: f64,
    /// Parked by a failed delivery. What fails again was counted before.
    pub failed: f64,
}

/// How long events take from acceptance to delivery; told up to an eighth too high.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryLatency {
    /// Half of the events took no longer.
    pub p50_ms: u64,
    /// 99 of 100 events took no longer.
    pub p99_ms: u64,
}

/// What went wrong last.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// The delivery that it happened to, where it is known.
    pub delivery_id: Option<DeliveryId>,
}

/// How a stream, or a connector by its worst stream, stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// It does not send, because a person said so.
    Off,
    /// It sends, and nothing waits for longer than a minute.
    Healthy,
    /// The endpoint takes nothing at the moment, and the service keeps trying; or it does take events, but some event has not arrived
    /// a minute after its acceptance: it keeps failing, or the stream is catching up; `delay` says which. Or this service is at fault: it cannot read its own
    /// store, or has found a damaged event there within the last 24 hours.
    Degraded,
    /// A person has to change the settings, here or there.
    Misconfigured,
    /// Events wait, nothing has moved for a minute, and nothing that is known explains it: this server is at fault. `last_error` says what is
    /// known. Whoever runs the server has to look.
    Stalled,
}
