//! `GET …/deliveries/{id}/attempts/{n}/request`: the request of an attempt. Line and headers were kept with it, where they were; the body is
//! made again of what is stored, by the connector's own encoder. That it is what was sent is never assumed: the signature that was sent along
//! proves it, whatever was changed since.

use std::sync::Arc;

use bytes::Bytes;
use secrecy::SecretString;
use toktra_siem_base::vault::{SIGNING_SECRET, SIGNING_SECRET_NEXT};
use toktra_siem_core::connector::{Compression, Credentials, Settings};
use toktra_siem_core::delivery::{Attempt, Delivery, Trigger};
use toktra_siem_core::destination::OutboundRequest;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::event::samples::kind_of;
use toktra_siem_core::exchange::SentRequest;
use toktra_siem_core::ids::{DeliveryId, OrgId, Seq};
use toktra_siem_core::signing::{self, SIGNATURE, SIGNATURE_NEXT, SignedRequest, SigningKeys};
use toktra_siem_dispatch::links::open_credentials;
use toktra_siem_platform::destination::Batch;
use toktra_siem_store::{ConnectorRecord, DeliveryDetail, Scope};
use toktra_siem_wire as wire;

use crate::deliveries::{DELIVERY, connector_of};
use crate::{App, Caller, Refusal, Result};

/// What the API calls this in its messages.
const ATTEMPT: &str = "attempt";
/// The most that is shown of a body, in bytes.
const SHOWN: usize = 64 * 1024;

/// The request of one attempt of a delivery.
pub async fn request(app: &App, caller: &Caller, id: DeliveryId, number: &str) -> Result<wire::AttemptRequest> {
    let org = caller.org(Scope::SiemRead)?;
    let detail = app.parts.store.delivery(org, id).await.map_err(|error| Refusal::store(DELIVERY, error))?;
    let found = detail.attempts.iter().find(|attempt| attempt.number.to_string() == number);
    let attempt = found.ok_or_else(|| Refusal::not_found(ATTEMPT))?.clone();
    let mut view = wire::AttemptRequest { request: attempt.request.clone(), ..wire::AttemptRequest::default() };
    if attempt.request.is_none() && !simply_arrived(&detail.delivery, &attempt) {
        view.notes.push(note("not_sent"));
        return Ok(view);
    }
    let Some(record) = connector_of(app, org, detail.delivery.stream.connector).await? else {
        view.notes.push(note("connector_deleted"));
        return Ok(view);
    };
    let events = events(app, org, &detail).await?;
    let (app, delivery) = (app.clone(), detail.delivery);
    // A batch may have megabytes, which are encoded, compressed and searched for secrets.
    let made = tokio::task::spawn_blocking(move || Again { app, record, delivery, attempt, events }.show(view));
    made.await.map_err(|_| Refusal::internal())
}

/// Of live and recovered events that simply arrived no request is kept.
fn simply_arrived(delivery: &Delivery, attempt: &Attempt) -> bool {
    attempt.cause.is_none() && matches!(delivery.trigger, Trigger::Live | Trigger::Recovery)
}

/// Its events, as far as their payloads are stored; none of a window, which has its counts.
async fn events(app: &App, org: OrgId, detail: &DeliveryDetail) -> Result<Vec<Arc<StoredEvent>>> {
    let delivery = &detail.delivery;
    if delivery.window.is_some() {
        return Ok(Vec::new());
    }
    if delivery.trigger != Trigger::Test {
        let events = app.parts.store.delivery_events(org, delivery.id).await;
        return events.map_err(|error| Refusal::store(DELIVERY, error));
    }
    let of_test = detail.test_event.iter().map(|event| {
        let (event_type, severity) = kind_of(&event.payload);
        StoredEvent {
            org,
            seq: Seq(0),
            event_id: event.event_id,
            event_type,
            severity,
            event_time: event.event_time,
            accepted_at: event.event_time,
            payload: event.payload.clone(),
        }
    });
    Ok(of_test.map(Arc::new).collect())
}

/// What a request is made again of.
struct Again {
    app: App,
    record: ConnectorRecord,
    delivery: Delivery,
    attempt: Attempt,
    events: Vec<Arc<StoredEvent>>,
}

impl Again {
    fn show(self, mut view: wire::AttemptRequest) -> wire::AttemptRequest {
        let lost =
            if self.delivery.window.is_some() { 0 } else { self.delivery.items().saturating_sub(self.events.len()) };
        if lost > 0 && self.events.is_empty() {
            view.notes.push(note("events_gone"));
            return view;
        }
        let Some((made, plain)) = self.make() else {
            view.notes.push(note("not_encodable"));
            return view;
        };
        view.exact = self.is_proved(&made.body);
        // The failed probes of an outage are attempts of the first of them, and each may have tried another event.
        if !view.exact && self.delivery.outage.is_some() && self.attempt.number > 1 {
            view.notes.push(note("other_event"));
            return view;
        }
        if !view.exact {
            view.notes.extend(self.doubts(lost).into_iter().map(note));
        }
        if view.request.is_none() {
            let signed = SignedRequest::seal(made, &SigningKeys::default(), self.delivery.id, self.attempt.at);
            view.request = Some(SentRequest::of(&signed));
        }
        view.body_bytes = Some(plain.len() as u64);
        // Credentials travel in headers. The body is made of events, which whoever sees this may read as they are: to take out of it what
        // looks like a secret would tell what the secret is.
        let mut body = String::from_utf8_lossy(&plain).into_owned();
        view.truncated = body.len() > SHOWN;
        body.truncate(body.floor_char_boundary(SHOWN));
        view.body = Some(body);
        view
    }

    /// The request as the connector would send it now, and its body before compression. `None` if the connector cannot be used as it is, or
    /// would leave out each of these events.
    fn make(&self) -> Option<(OutboundRequest, Bytes)> {
        let Self { app, record, .. } = self;
        let settings = &record.connector.settings;
        let credentials = open_credentials(&app.parts.vault, record).ok()?;
        let made = self.encode(settings, &credentials)?;
        let plain = if settings.compression == Compression::None {
            made.body.clone()
        } else {
            self.encode(&Settings { compression: Compression::None, ..settings.clone() }, &credentials)?.body
        };
        Some((made, plain))
    }

    fn encode(&self, settings: &Settings, credentials: &Credentials) -> Option<OutboundRequest> {
        let (connector, kind) = (&self.record.connector, self.delivery.stream.kind);
        let registry = &self.app.parts.registry;
        let destination = registry.build(settings, credentials, connector.org, connector.id, kind).ok()?;
        let batch = match &self.delivery.window {
            Some(window) => Batch::Window { start: window.start, tally: &window.tally },
            None => Batch::Events(&self.events),
        };
        destination.encode(batch, self.attempt.at).ok()?.request
    }

    /// The secrets that the attempt may have been signed with, as far as they are known now.
    fn keys(&self) -> impl Iterator<Item = SecretString> {
        let Self { app, record, .. } = self;
        let signing = [SIGNING_SECRET, SIGNING_SECRET_NEXT];
        let own = record.secrets.iter().filter(move |sealed| signing.contains(&sealed.field.as_str()));
        let (org, id) = (record.connector.org, record.connector.id);
        let own = own.filter_map(move |sealed| app.parts.vault.open(org, id, sealed).ok());
        own.chain(app.parts.signing_secret.clone())
    }

    /// The signatures that were sent with the attempt.
    fn signatures(&self) -> impl Iterator<Item = &str> {
        let headers = self.attempt.request.iter().flat_map(|request| request.headers.iter());
        headers.filter(|(name, _)| [SIGNATURE, SIGNATURE_NEXT].contains(name)).map(|(_, value)| value)
    }

    /// Whether one of the signatures that were sent with the attempt is of this body.
    fn is_proved(&self, body: &[u8]) -> bool {
        let keys: Vec<_> = self.keys().collect();
        self.signatures().any(|signature| keys.iter().any(|key| signing::verify(key, body, signature)))
    }

    /// Why nothing proves that it is what was sent.
    fn doubts(&self, lost: usize) -> Vec<&'static str> {
        let changed = self.record.connector.updated_at > self.attempt.at;
        let unproved = match &self.attempt.request {
            None => "not_kept",
            Some(_) if self.signatures().next().is_none() => "not_signed",
            Some(_) => "not_proved",
        };
        let all = [(lost > 0, "some_events_gone"), (changed, "connector_changed"), (true, unproved)];
        all.into_iter().filter(|(holds, _)| *holds).map(|(_, code)| code).collect()
    }
}

/// A note on a request, by its code.
fn note(code: &'static str) -> wire::RequestNote {
    let message = match code {
        "not_sent" => {
            "No request of this attempt is known: the endpoint could not be prepared, so there was nothing to send, or an earlier \
             version made the attempt."
        }
        "connector_deleted" => "The connector was deleted, and with it the settings that the body was made with.",
        "events_gone" => {
            "The events are not stored any more: they are older than the retention. The body cannot be made again."
        }
        "some_events_gone" => {
            "Some of the events are not stored any more: they are older than the retention. They are missing from the body."
        }
        "not_encodable" => {
            "The connector cannot make this request as it is saved now: its settings or secrets have changed."
        }
        "other_event" => {
            "This attempt was a later probe of an outage. It tried an event of its own, and which one is not kept, so there is no body."
        }
        "connector_changed" => {
            "The connector was saved after this attempt. The body is made with the present settings."
        }
        "not_kept" => {
            "No request is kept of events that simply arrived. Line, headers and body are made again, without signatures, and nothing \
             proves that they are what was sent."
        }
        "not_signed" => "No signature is kept of this attempt, so nothing proves that this body is what was sent.",
        _ => {
            "The signature that was sent is not one of this body with the present signing secret: the settings, the secret or the \
             version of the service have changed since."
        }
    };
    wire::RequestNote { code: code.to_owned(), message: message.to_owned() }
}
