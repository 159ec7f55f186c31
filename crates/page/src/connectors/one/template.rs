//! The button that puts in place at the endpoint what the platform wants there: a built-in index template, say.

use axum::extract::Path;
use http::Method;
use serde::Deserialize;
use toktra_siem_core::cause::Cause;

use super::path;
use crate::answer::Result;
use crate::error::PageError;
use crate::frame::Notice;
use crate::visitor::{Asked, Visitor, segment};

/// What became of it.
#[derive(Deserialize)]
struct Applied {
    template: String,
    warning: Option<Cause>,
}

/// `POST /integrations/siem/{id}/index-template`. A cluster that refuses is no error of this page: what it said stands on top of the
/// connector's.
pub(crate) async fn apply(visitor: Visitor, Path(id): Path<String>) -> Result {
    let api = format!("/v1/siem/connectors/{}/index-template", segment(&id));
    let notice = match visitor.ask(Asked::new(Method::POST, &api)).await {
        Ok(answered) => told(answered.read()?),
        Err(PageError::Refused(refusal)) if refusal.status.is_server_error() => Notice::failed(refusal.problem.message),
        Err(error) => return Err(error),
    };
    Ok(visitor.go_with(&path(&id, ""), notice))
}

fn told(applied: Applied) -> Notice {
    let Applied { template, warning } = applied;
    match warning {
        None => Notice::done(format!(
            "The index template “{template}” is in place. It holds for indices that are made from now on."
        )),
        Some(cause) => Notice::failed(format!(
            "The index template “{template}” was refused; events are delivered all the same, with the mapping that the cluster chooses. {}",
            cause.message
        )),
    }
}
