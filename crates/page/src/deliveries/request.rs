//! The request of one attempt: in the delivery's page it is folded, and loaded when somebody opens it; without script it is a page of its own.

use askama::Template;
use axum::extract::Path;
use http::StatusCode;
use toktra_siem_app::{deliveries, named, sent};
use toktra_siem_core::ids::DeliveryId;
use toktra_siem_wire::AttemptRequest;

use crate::answer::{Result, html};
use crate::frame::{Frame, Section};
use crate::show;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "dashboard/deliveries/request.html", blocks = ["request"])]
struct RequestPage {
    frame: Frame,
    id: DeliveryId,
    number: String,
    asked: AttemptRequest,
}

impl RequestPage {
    /// Line and headers, as they stand in front of a body.
    fn head(&self) -> Option<String> {
        let request = self.asked.request.as_ref()?;
        let headers = request.headers.iter().map(|(name, value)| format!("\n{name}: {value}"));
        Some(format!("{} {}{}", request.method, request.url, headers.collect::<String>()))
    }

    fn is_compressed(&self) -> bool {
        let mut headers = self.asked.request.iter().flat_map(|request| request.headers.iter());
        headers.any(|(name, _)| name == "content-encoding")
    }

    /// How much of the body there is.
    fn size(&self) -> String {
        let bytes = show::counted(self.asked.body_bytes.unwrap_or_default(), "byte", "bytes");
        let compressed = if self.is_compressed() { " before compression" } else { "" };
        if self.asked.truncated {
            format!("The first 64 KiB of {bytes}{compressed}.")
        } else {
            format!("{bytes}{compressed}.")
        }
    }
}

/// Stands for the number of the newest attempt, in links that are made before that is known.
const LAST: &str = "last";

/// `GET /deliveries/{id}/attempts/{number}/request`.
pub(crate) async fn show(visitor: Visitor, Path((id, number)): Path<(String, String)>) -> Result {
    let id = named(&id)?;
    let number = if number == LAST { last(&visitor, id).await?.unwrap_or(number) } else { number };
    let asked = sent::request(visitor.app(), visitor.caller(), id, &number).await?;
    let frame = visitor.frame(format!("Request of attempt {number}"), Section::Deliveries);
    let page = RequestPage { frame, id, number, asked };
    if visitor.by_script { html(StatusCode::OK, &page.as_request()) } else { html(StatusCode::OK, &page) }
}

/// The number of the newest attempt, if one was made.
async fn last(visitor: &Visitor, id: DeliveryId) -> Result<Option<String>> {
    let detail = deliveries::get(visitor.app(), visitor.caller(), id).await?;
    Ok(detail.attempts.last().map(|attempt| attempt.number.to_string()))
}
