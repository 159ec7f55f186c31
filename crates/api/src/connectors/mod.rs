//! How the routes of connectors answer: with the revision, for `If-Match`.

use http::header::{ETAG, HeaderValue, LOCATION};
use serde::Serialize;
use toktra_siem_app::connectors::tag;
use toktra_siem_core::ids::Revision;
use toktra_siem_wire::{Connector, ConnectorChanged};

use crate::answer::{Answer, created, ok};

pub(super) mod doc;
pub(super) mod test_delivery;

/// `answer`, with the revision that it shows as its `ETag`.
fn tagged(revision: Revision, answer: Answer) -> Answer {
    let mut response = answer?;
    if let Ok(tag) = HeaderValue::try_from(tag(revision)) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

/// A connector as it is.
pub(super) fn shown(connector: &Connector) -> Answer {
    tagged(connector.revision, ok(connector))
}

/// A connector that was just made.
pub(super) fn made(connector: &Connector) -> Answer {
    let mut response = tagged(connector.revision, created(connector))?;
    if let Ok(location) = HeaderValue::try_from(format!("/v1/siem/connectors/{}", connector.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// A connector that was just changed.
pub(super) fn changed(changed: &ConnectorChanged) -> Answer {
    tagged(changed.connector.revision, ok(changed))
}

/// What became of a signing secret, of a connector that has this revision now.
pub(super) fn rotated<T: Serialize>((revision, view): &(Revision, T)) -> Answer {
    tagged(*revision, ok(view))
}
