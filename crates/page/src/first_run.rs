//! The first run: three steps above the list of connectors, which end in a delivered event. They tick off by themselves, and go away a while
//! after the first event arrived. The demo has a tour instead ([`super::tour`]).

use std::time::Duration;

use toktra_siem_app::{Query, deliveries, events};
use toktra_siem_core::ids::EventId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::{Health, HealthState, ListedEvent, Outcome};

use crate::answer::Result;
use crate::show::{self, Html};
use crate::visitor::Visitor;

/// How many events an org has had when nobody needs to be told any more that the first one arrived.
const FIRST_EVENTS: u64 = 20;
/// For how long the page says so.
const SAID_FOR: Duration = Duration::from_mins(10);

/// How far an org is.
pub(crate) struct FirstRun {
    /// There is a connector.
    pub(crate) connected: bool,
    /// There is one that is active.
    pub(crate) active: bool,
    /// The event that the last step is about: the newest that a producer posted.
    pub(crate) event: Option<EventId>,
    /// What became of it, in a sentence, while none was delivered.
    pub(crate) fate: &'static str,
    /// The link that shows it in the SIEM.
    pub(crate) open: Option<Html>,
    /// An event was delivered.
    pub(crate) delivered: bool,
}

/// Whether the org has had so many events that its first run is over once one was delivered.
pub(crate) async fn is_long_ago(visitor: &Visitor) -> Result<bool> {
    let newest = newest(visitor, "1").await?;
    Ok(newest.first().and_then(|listed| listed.event.sequence).is_some_and(|head| head.0 > FIRST_EVENTS))
}

async fn newest(visitor: &Visitor, limit: &str) -> Result<Vec<ListedEvent>> {
    Ok(events::list(visitor.app(), visitor.caller(), Query::of([("limit", limit)])).await?.items)
}

impl FirstRun {
    /// How far the org of `visitor` is; nothing if its first run is over. `long_ago` is what [`is_long_ago`] said.
    pub(crate) async fn of(visitor: &Visitor, connectors: &[Health], long_ago: bool) -> Result<Option<Self>> {
        if visitor.is_demo() {
            return Ok(None);
        }
        let lately =
            connectors.iter().flat_map(|health| &health.streams).filter_map(|stream| stream.last_success).max();
        let arrived = match lately {
            None => delivered_before(visitor).await?,
            lately => lately,
        };
        // What is said then must not stand above a connector that needs somebody.
        let troubled = connectors.iter().any(|health| health.state > HealthState::Healthy);
        if arrived.is_some_and(|at| long_ago || troubled || visitor.now.since(at) > SAID_FOR) {
            return Ok(None);
        }
        let newest = newest(visitor, "10").await?;
        let posted = || newest.iter().filter(|listed| listed.event.event_type.is_posted());
        let delivered = arrived.is_some();
        let told = posted().find(|listed| !delivered || listed.outcome == Some(Outcome::Delivered));
        let told = told.or_else(|| posted().next());
        let event = told.map(|listed| listed.event.event_id);
        Ok(Some(Self {
            connected: !connectors.is_empty(),
            active: connectors.iter().any(|health| health.active),
            fate: fate(told.and_then(|listed| listed.outcome), connectors.iter().any(|health| health.active)),
            open: match event.filter(|_| delivered) {
                Some(event) => link(visitor, connectors, event).await?,
                None => None,
            },
            event,
            delivered,
        }))
    }
}

/// When an event was delivered, also by a connector that was deleted since.
async fn delivered_before(visitor: &Visitor) -> Result<Option<Timestamp>> {
    for trigger in ["live", "recovery"] {
        let asked = Query::of([("status", "delivered"), ("trigger", trigger), ("limit", "1")]);
        let found = deliveries::list(visitor.app(), visitor.caller(), None, asked).await?.items;
        if let Some(at) = found.first().and_then(|delivery| delivery.settled_at) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Why an event is not there yet. `active` is whether a connector is switched on.
fn fate(outcome: Option<Outcome>, active: bool) -> &'static str {
    match outcome {
        Some(Outcome::Pending | Outcome::Failed) if !active => {
            "was accepted while no connector was switched on. Switch one on, then post another one."
        }
        None => "is stored. Connect a SIEM, then post another one.",
        Some(Outcome::Before) => {
            "was accepted before you added the connector, so it is not forwarded. Post another one."
        }
        Some(Outcome::Filtered) => {
            "is not one that the connector's filter forwards. Change the filter, then post another one."
        }
        Some(Outcome::Skipped) => "came while the connector was paused, so it is not forwarded. Post another one.",
        Some(Outcome::Pending) => "is on its way.",
        Some(_) => "did not arrive yet. Open it to see why.",
    }
}

/// The link that shows an event in a SIEM that has it.
async fn link(visitor: &Visitor, connectors: &[Health], event: EventId) -> Result<Option<Html>> {
    let outcomes = events::get(visitor.app(), visitor.caller(), event).await?.outcomes;
    let Some((connector, url)) = outcomes.iter().find_map(|told| Some((told.connector_id, told.open_url.as_ref()?)))
    else {
        return Ok(None);
    };
    let of = connectors.iter().find(|health| health.connector_id == connector);
    let platform = of.and_then(|health| visitor.registry().descriptor(health.platform));
    Ok(platform.map(|platform| show::open_in(platform.opens, url)))
}

/// A command that posts an event, in a language that people know.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) needs: &'static str,
    pub(crate) text: String,
}

/// What stands for the key in a command: the shell's variable, so that the key is in no page and in no history.
const VARIABLE: &str = "$TOKTRA_API_KEY";

/// The commands that post one event to the server at `address`.
pub(crate) fn commands(address: &str) -> [Command; 3] {
    let python = format!(
        r#"python3 - <<'END'
import json, os, urllib.request

event = {{"event_type": "anomaly", "severity": "high", "summary": "My first event"}}
request = urllib.request.Request(
    "{address}/v1/events",
    data=json.dumps(event).encode(),
    headers={{
        "Authorization": "Bearer " + os.environ["TOKTRA_API_KEY"],
        "Content-Type": "application/json",
    }},
)
with urllib.request.urlopen(request) as response:
    print(response.status, response.read().decode())
END"#
    );
    let node = format!(
        r#"node --input-type=module - <<'END'
const event = {{ event_type: "anomaly", severity: "high", summary: "My first event" }};
const response = await fetch("{address}/v1/events", {{
  method: "POST",
  headers: {{
    Authorization: "Bearer " + process.env.TOKTRA_API_KEY,
    "Content-Type": "application/json",
  }},
  body: JSON.stringify(event),
}});
console.log(response.status, await response.text());
END"#
    );
    [
        Command { name: "curl", needs: "", text: with_curl(address, VARIABLE) },
        Command { name: "Python", needs: "Python 3, standard library only", text: python },
        Command { name: "Node.js", needs: "Node.js 18 or newer", text: node },
    ]
}

/// The same with curl, and with this key.
pub(crate) fn with_curl(address: &str, key: &str) -> String {
    format!(
        "curl {address}/v1/events \\\n  -H \"Authorization: Bearer {key}\" \\\n  -H \"Content-Type: application/json\" \\\n  \
         -d '{{\"event_type\":\"anomaly\",\"severity\":\"high\",\"summary\":\"My first event\"}}'"
    )
}

/// The command with curl, for a page that shows but one.
pub(crate) fn curl(address: &str) -> String {
    with_curl(address, VARIABLE)
}
