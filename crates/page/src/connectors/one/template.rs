//! The button that puts in place at the endpoint what the platform wants there: a built-in index template, say.

use axum::extract::Path;
use serde_json::json;
use toktra_siem_app::{index_template, named};
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_wire::IndexTemplate;

use super::path;
use crate::answer::Result;
use crate::frame::Notice;
use crate::visitor::Visitor;

/// `POST /integrations/siem/{id}/index-template`. A cluster that refuses is no error of this page: what it said stands on top of the
/// connector's.
pub(crate) async fn apply(visitor: Visitor, Path(id): Path<String>) -> Result {
    let own: ConnectorId = named(&id)?;
    let doing = |app, caller, body| async move { index_template::apply(&app, &caller, own, body).await };
    let applied = visitor.once(&format!("{own}/index-template"), &json!({}), doing).await;
    let notice = match applied {
        Ok(applied) => told(applied),
        Err(refusal) if refusal.status.is_server_error() => Notice::failed(refusal.problem.message),
        Err(refusal) => return Err(refusal.into()),
    };
    Ok(visitor.go_with(&path(&id, "/settings"), notice))
}

fn told(applied: IndexTemplate) -> Notice {
    let IndexTemplate { template, warning, .. } = applied;
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
