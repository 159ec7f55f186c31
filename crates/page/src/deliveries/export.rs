//! The whole of a filtered history as a file, as the API writes it.

use axum::extract::Path;
use http::StatusCode;
use toktra_siem_api::export::{self, Format};
use toktra_siem_app::deliveries;
use toktra_siem_core::ids::ConnectorId;

use super::filter::{Filter, Place};
use crate::answer::Result;
use crate::error::PageError;
use crate::form::Form;
use crate::visitor::Visitor;

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
    let format = match Form::parse(query.as_bytes()).text("format") {
        "csv" => Format::Csv,
        "ndjson" => Format::Ndjson,
        _ => {
            return Err(PageError::Unreadable(
                StatusCode::BAD_REQUEST,
                "The history is saved as `format=csv` or `format=ndjson`. Choose one of the two on its page.",
            ));
        }
    };
    let (connector, query) = Filter::read(place, &visitor.address).asks(place, false)?;
    Ok(export::answer(deliveries::export(visitor.app(), visitor.caller(), connector, query).await?, format))
}
