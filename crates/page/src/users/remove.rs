//! Removing a user, which asks first.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use toktra_siem_app::users;
use toktra_siem_wire::User;

use super::{Person as _, back, person};
use crate::answer::{Result, html};
use crate::error::sentence;
use crate::frame::{Frame, Section};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "dashboard/users/remove.html", blocks = ["content"])]
struct RemovePage {
    frame: Frame,
    person: User,
    you: bool,
    /// Why it was not done.
    fault: Option<String>,
}

async fn page(visitor: &Visitor, id: &str, fault: Option<String>) -> Result<RemovePage> {
    let person = person(visitor, id).await?;
    let frame = visitor.frame(format!("Delete {}", person.name), Section::Users);
    Ok(RemovePage { frame, you: person.is(visitor), person, fault })
}

/// `GET /users/{id}/delete`.
pub(crate) async fn ask(visitor: Visitor, Path(id): Path<String>) -> Result {
    visitor.page(&page(&visitor, &id, None).await?)
}

/// `POST /users/{id}/delete`.
pub(crate) async fn remove(visitor: Visitor, Path(id): Path<String>) -> Result<Response> {
    let gone = person(&visitor, &id).await?;
    match users::delete(visitor.app(), visitor.caller(), gone.id).await {
        Ok(_) => Ok(back(&visitor, format!("{} was deleted. Their sessions have ended.", gone.name))),
        Err(refusal) if refusal.status == StatusCode::CONFLICT => {
            let page = page(&visitor, &id, Some(sentence(&refusal.message))).await?;
            if visitor.by_script { html(refusal.status, &page.as_content()) } else { html(refusal.status, &page) }
        }
        Err(refusal) => Err(refusal.into()),
    }
}
