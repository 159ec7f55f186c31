//! `/v1/siem/connectors`: making, showing, changing and removing connectors.

use axum::extract::State;
use axum::response::Response;
use http::header::{ETAG, HeaderValue, LOCATION};
use serde::Serialize;
use toktra_siem_app::connectors::{self, IfMatch, signing, tag};
use toktra_siem_app::{App, Caller, Query};
use toktra_siem_core::ids::{ConnectorId, Revision};

use crate::answer::{Answer, created, ok};
use crate::extract::{Given, NoQuery, OnlyId};

pub(super) mod doc;
pub(super) mod test_delivery;

/// An answer that shows a connector, with its `ETag`.
fn tagged(revision: Revision, mut response: Response) -> Response {
    if let Ok(tag) = HeaderValue::try_from(tag(revision)) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// `GET /v1/siem/connectors`.
pub(super) async fn list(State(app): State<App>, caller: Caller, query: Query) -> Answer {
    ok(&connectors::list(&app, &caller, query).await?)
}

/// `GET …/{id}`.
pub(super) async fn get(State(app): State<App>, caller: Caller, OnlyId(id): OnlyId<ConnectorId>) -> Answer {
    let connector = connectors::get(&app, &caller, id).await?;
    Ok(tagged(connector.revision, ok(&connector)?))
}

/// `POST /v1/siem/connectors`.
pub(super) async fn create(State(app): State<App>, caller: Caller, _: NoQuery, Given(connector): Given) -> Answer {
    let connector = connectors::create(&app, &caller, connector).await?;
    let mut response = tagged(connector.revision, created(&connector)?);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/siem/connectors/{}", connector.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// `PATCH …/{id}`.
pub(super) async fn change(
    State(app): State<App>,
    caller: Caller,
    OnlyId(id): OnlyId<ConnectorId>,
    condition: IfMatch,
    Given(change): Given,
) -> Answer {
    let changed = connectors::change(&app, &caller, id, &condition, change).await?;
    Ok(tagged(changed.connector.revision, ok(&changed)?))
}

/// `DELETE …/{id}`.
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    OnlyId(id): OnlyId<ConnectorId>,
    condition: IfMatch,
) -> Answer {
    ok(&connectors::delete(&app, &caller, id, &condition).await?)
}

/// `POST …/{id}/signing-secret/rotate`.
pub(super) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    OnlyId(id): OnlyId<ConnectorId>,
    condition: IfMatch,
    Given(wish): Given,
) -> Answer {
    shown(&signing::rotate(&app, &caller, id, &condition, wish).await?)
}

/// `POST …/{id}/signing-secret/activate`.
pub(super) async fn activate(
    State(app): State<App>,
    caller: Caller,
    OnlyId(id): OnlyId<ConnectorId>,
    condition: IfMatch,
    Given(body): Given,
) -> Answer {
    shown(&signing::activate(&app, &caller, id, &condition, body).await?)
}

fn shown<T: Serialize>((revision, view): &(Revision, T)) -> Answer {
    Ok(tagged(*revision, ok(view)?))
}
