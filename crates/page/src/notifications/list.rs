//! The list of channels, and test messages, whose answer stands beside the channel.

use askama::Template;
use axum::extract::Path;
use http::StatusCode;
use toktra_siem_app::{Object, Query, channels};
use toktra_siem_core::ids::ChannelId;
use toktra_siem_notify::{Descriptor, descriptors};
use toktra_siem_wire::{Channel, ChannelTest};

use super::{channel, standing};
use crate::answer::{Result, html};
use crate::frame::{Frame, Notice, NoticeView, Section};
use crate::show::Html;
use crate::visitor::Visitor;

/// More than an org can have.
const ALL: &str = "100";

/// A kind, and what the operator has to configure before anybody is told through it.
type Offer = (&'static Descriptor, Option<&'static str>);

#[derive(Template)]
#[template(path = "dashboard/notifications/list.html")]
struct ListPage {
    frame: Frame,
    channels: Vec<Channel>,
    /// The kinds that there are, and what the operator has to configure first.
    offers: Vec<Offer>,
    /// What became of a test message that was just sent, for whoever has no script.
    tested: Option<(ChannelId, NoticeView)>,
}

impl ListPage {
    async fn of(visitor: &Visitor, tested: Option<(ChannelId, NoticeView)>) -> Result<Self> {
        let all = channels::list(visitor.app(), visitor.caller(), Query::of([("limit", ALL)])).await?;
        let offers = descriptors().map(|of| (of, channels::unconfigured(visitor.app(), of.kind))).collect();
        let frame = visitor.frame("Notifications", Section::Notifications);
        Ok(Self { frame, channels: all.items, offers, tested })
    }

    fn standing(&self, channel: &Channel) -> Html {
        standing(channel, self.frame.now)
    }

    fn answer(&self, channel: &Channel) -> Option<&NoticeView> {
        self.tested.as_ref().filter(|(id, _)| *id == channel.id).map(|(_, answer)| answer)
    }
}

/// `GET /notifications`.
pub(crate) async fn show(visitor: Visitor) -> Result {
    visitor.page(&ListPage::of(&visitor, None).await?)
}

/// `POST /notifications/{id}/test`.
pub(crate) async fn test(visitor: Visitor, Path(id): Path<String>) -> Result {
    let channel = channel(&visitor, &id).await?;
    let notice = tried(&visitor, channel.id).await?;
    let answer = NoticeView { notice };
    if visitor.by_script {
        return html(StatusCode::OK, &answer);
    }
    html(StatusCode::OK, &ListPage::of(&visitor, Some((channel.id, answer))).await?)
}

/// Sends a test message, and says what came of it.
pub(super) async fn tried(visitor: &Visitor, id: ChannelId) -> Result<Notice> {
    let ChannelTest { sent, message, .. } =
        channels::test(visitor.app(), visitor.caller(), id, Object::empty()).await?;
    Ok(if sent { Notice::done(message) } else { Notice::failed(format!("Nobody was told. {message}")) })
}
