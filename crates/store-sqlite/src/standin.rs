//! What stands in for a connector or a channel whose record cannot be read any more, so that one flipped bit stops nobody else: what is known of it
//! beside its record. It can be shown, saved anew and deleted. A record that can be read says itself what it is.

use rusqlite::{Connection, OptionalExtension, params};
use serde::de::DeserializeOwned;
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::connector::{Connector, ManagedBy, Settings};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{ChannelId, ConnectorId, OrgId, PlatformId, Revision};
use toktra_siem_core::job::Job;
use toktra_siem_core::notice::ChannelKind;
use toktra_siem_core::outage::Outage;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::channels::Channel;
use uuid::Uuid;

use super::codec::{small, uuid};
use super::fault::Outcome;
use super::streams;

/// What a platform is called whose name cannot be read either.
const UNKNOWN: PlatformId = PlatformId::fixed("unknown");

/// A record, unless it is damaged.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// The connector with this id and name of the org.
pub(super) fn connector(
    conn: &Connection,
    (id, org, name): (ConnectorId, OrgId, String),
    bytes: &[u8],
) -> Outcome<Connector> {
    let platform = said(bytes, "platform").and_then(PlatformId::new).unwrap_or(UNKNOWN);
    let kinds = streams::of_connector(conn, id)?.into_iter().map(|row| row.id.kind).collect();
    let newest = "SELECT revision, filter FROM connector_revision WHERE connector = ?1 ORDER BY revision DESC LIMIT 1";
    let newest: Option<(i64, Option<Filter>)> = conn
        .prepare_cached(newest)?
        .query_row([id.0.as_bytes()], |row| Ok((row.get(0)?, read(row.get_ref(1)?.as_bytes()?))))
        .optional()?;
    let (revision, filter) = newest.unwrap_or((1, None));
    let made = made(id.0);
    Ok(Connector {
        id,
        org,
        name,
        settings: Settings::unreadable(platform, kinds),
        filter: filter.unwrap_or_default(),
        active: !holds(bytes, "\"active\":false"),
        activated: true,
        managed_by: if holds(bytes, "\"managed_by\":\"environment\"") {
            ManagedBy::Environment
        } else {
            ManagedBy::Api
        },
        revision: Revision(small(revision)),
        created_at: made,
        updated_at: made,
    })
}

/// The notification channel with this id of the org: nothing is told through it until it is saved.
pub(super) fn channel(id: ChannelId, org: OrgId, bytes: &[u8]) -> Channel {
    let kind = said(bytes, "kind").and_then(|said| ChannelKind::ALL.iter().copied().find(|kind| kind.as_str() == said));
    let name = said(bytes, "name").map_or_else(|| format!("Unreadable {id}"), str::to_owned);
    let made = made(id.0);
    Channel {
        id,
        org,
        name,
        kind: kind.unwrap_or(ChannelKind::Webhook),
        config: serde_json::Map::new(),
        events: Vec::new(),
        active: false,
        created_at: made,
        updated_at: made,
    }
}

/// When an id was made, where it tells.
fn made(id: Uuid) -> Timestamp {
    let ms =
        id.get_timestamp().map(|at| at.to_unix()).map(|(seconds, nanos)| seconds * 1000 + u64::from(nanos) / 1_000_000);
    Timestamp(ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0))
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The text of this member, as far as the damage leaves it.
fn said<'a>(bytes: &'a [u8], member: &str) -> Option<&'a str> {
    let begin = format!("\"{member}\":\"");
    let at = bytes.windows(begin.len()).position(|window| window == begin.as_bytes())? + begin.len();
    let rest = &bytes[at..];
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}

/// Says at a start which records cannot be read, each once.
pub(super) fn tell(conn: &Connection) -> Outcome<()> {
    unreadable::<Connector>(conn, "SELECT id, record FROM connector", |id| {
        tracing::error!(
            connector = %id,
            "what is stored of this connector cannot be read any more: its events wait. Save it again with all of its settings, or delete it"
        );
    })?;
    unreadable::<Channel>(conn, "SELECT id, doc FROM channel", |id| {
        tracing::error!(
            channel = %id,
            "what is stored of this notification channel cannot be read any more, so it sends nothing: save it again, or delete it"
        );
    })?;
    unreadable::<Job>(conn, "SELECT id, record FROM job WHERE state = 0", |id| {
        tracing::error!(job = %id, "what is stored of this job cannot be read any more, so it stands still: ask for it again");
    })?;
    unreadable::<Filter>(conn, "SELECT connector, filter FROM connector_revision", |id| {
        tracing::error!(
            connector = %id,
            "a version of the filter of this connector cannot be read any more: of the events of its time none is filtered"
        );
    })?;
    let told = |id| {
        tracing::error!(
            connector = %id,
            "what is stored of an outage of this connector cannot be read any more: it is taken for over, and the next request tells"
        );
    };
    unreadable::<Breaker>(conn, "SELECT connector, breaker FROM stream WHERE removed = 0", told)?;
    unreadable::<Vec<Outage>>(conn, "SELECT connector, outages FROM stream WHERE removed = 0", told)
}

fn unreadable<T: DeserializeOwned>(conn: &Connection, sql: &str, tell: impl Fn(Uuid)) -> Outcome<()> {
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query(params![])?;
    while let Some(row) = rows.next()? {
        if read::<T>(row.get_ref(1)?.as_bytes().map_err(rusqlite::Error::from)?).is_none() {
            tell(uuid(row.get(0)?));
        }
    }
    Ok(())
}
