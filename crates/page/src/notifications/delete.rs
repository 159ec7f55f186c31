//! Deleting a channel, which asks first.

use askama::Template;
use axum::extract::Path;
use toktra_siem_app::channels;
use toktra_siem_wire::Channel;

use super::{LIST, channel};
use crate::answer::Result;
use crate::frame::{Frame, Notice, Section};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "dashboard/notifications/delete.html")]
struct DeletePage {
    frame: Frame,
    channel: Channel,
}

/// `GET /notifications/{id}/delete`.
pub(crate) async fn ask(visitor: Visitor, Path(id): Path<String>) -> Result {
    let channel = channel(&visitor, &id).await?;
    let frame = visitor.frame(format!("Delete {}", channel.name), Section::Notifications);
    visitor.page(&DeletePage { frame, channel })
}

/// `POST /notifications/{id}/delete`.
pub(crate) async fn delete(visitor: Visitor, Path(id): Path<String>) -> Result {
    let channel = channel(&visitor, &id).await?;
    channels::delete(visitor.app(), visitor.caller(), channel.id).await?;
    Ok(visitor
        .go_with(LIST, Notice::done(format!("“{}” was deleted. Nobody is told through it any more.", channel.name))))
}
