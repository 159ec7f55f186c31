//! The whole of a filtered history as a file: what the API streams, handed on as it comes.

use axum::extract::Path;
use axum::response::Response;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{Method, StatusCode};
use toktra_siem_core::ids::ConnectorId;

use super::filter::{Filter, Place};
use crate::answer::Result;
use crate::error::PageError;
use crate::form::Form;
use crate::visitor::{Asked, Visitor};

/// `GET /deliveries/export`.
pub(crate) async fn of_all(visitor: Visitor) -> Result {
    save(&visitor, Place::All).await
}

/// `GET /integrations/siem/{id}/deliveries/export`.
pub(crate) async fn of_connector(visitor: Visitor, Path(id): Path<String>) -> Result {
    let id: ConnectorId = id.parse().map_err(|_| PageError::Missing)?;
    save(&visitor, Place::Of(id)).await
}

async fn save(visitor: &Visitor, place: Place) -> Result {
    let query = visitor.address.split_once('?').map_or("", |(_, query)| query);
    let media = match Form::parse(query.as_bytes()).text("format") {
        "csv" => "text/csv",
        "ndjson" => "application/x-ndjson",
        _ => {
            return Err(PageError::Unreadable(
                StatusCode::BAD_REQUEST,
                "The history is saved as `format=csv` or `format=ndjson`. Choose one of the two on its page.",
            ));
        }
    };
    let path = Filter::read(place, &visitor.address).asks(place, false);
    let answered = visitor.stream(Asked::new(Method::GET, &path).accepting(media)).await?;
    let (parts, body) = answered.into_parts();
    let mut response = Response::new(body);
    for name in [CONTENT_TYPE, CONTENT_DISPOSITION] {
        if let Some(value) = parts.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    Ok(response)
}
