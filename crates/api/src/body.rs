//! Reading a request's body ([`toktra_siem_edge::body`]), and what a client is told where that does not work.

use axum::body::Body;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use toktra_siem_edge::Arrival;
use toktra_siem_edge::bodies::Owner;
use toktra_siem_edge::body::{self, Fault, Purse, Whole};
use toktra_siem_edge::limits::OPEN_BODY;

use toktra_siem_app::{Caller, Refusal, Result};

use crate::state::AppState;

const MIB: usize = 1024 * 1024;

/// Reads a body of at most `cap` bytes, inflated; less from somebody who has shown no key.
pub(super) async fn read(state: &AppState, request: &Parts, body: Body, cap: usize) -> Result<Whole> {
    let address = request.extensions.get::<Arrival>().map(Arrival::address);
    let (purse, cap) = match request.extensions.get::<Caller>() {
        Some(caller) => (Purse::Known(Owner { key: Some(caller.principal.id), address }), cap),
        None => (Purse::Open(Owner { key: None, address }), cap.min(OPEN_BODY)),
    };
    let edge = &state.edge;
    body::read(edge, purse, &request.headers, body, cap).await.map_err(|fault| told(&fault, state))
}

fn told(fault: &Fault, state: &AppState) -> Refusal {
    match fault {
        Fault::TooLarge(cap) => {
            let mut refusal = Refusal::too_large(format!(
                "The body is larger than {}{cap} bytes, after decompression. Nothing of it was accepted: send less at a time.",
                if cap % MIB == 0 { format!("{} MiB, ", cap / MIB) } else { String::new() }
            ));
            refusal.problem.parameters.insert("max".to_owned(), (*cap).into());
            refusal
        }
        Fault::Encoding => {
            Refusal::unsupported("The Content-Encoding is not supported. Send the body as it is, or with gzip, once.")
        }
        Fault::NotGzip => Refusal::bad_request("The body is not valid gzip, although its Content-Encoding says so."),
        Fault::BrokeOff(error) => {
            tracing::debug!(error, "a request's body broke off");
            Refusal::bad_request("The body broke off before its end.")
        }
        Fault::Chunks(error) => {
            tracing::debug!(error, "a request's body is malformed");
            Refusal::bad_request("The chunks of the body are malformed, so its end cannot be found.")
        }
        Fault::TooSlow => {
            let within = state.edge.limits().body.as_secs();
            Refusal::bad_request(format!("The body did not arrive within {within} s. Send it again."))
        }
        Fault::NoRoom => Refusal::queue_full(),
        Fault::Ending => Refusal::unavailable(),
        Fault::Failed(error) => {
            tracing::error!(%error, "work on a request's body ended abnormally");
            Refusal::internal()
        }
    }
}

/// The media type of a request, lower-case and without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Refusal::unsupported("The Content-Type cannot be read."))?;
    Ok(Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()))
}
