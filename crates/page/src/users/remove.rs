//! Removing a user, which asks first.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use http::{Method, StatusCode};

use super::{Person, api_path, back, person};
use crate::answer::{Result, html};
use crate::error::{PageError, sentence};
use crate::frame::{Frame, Section};
use crate::visitor::{Asked, Visitor};

#[derive(Template)]
#[template(path = "dashboard/users/remove.html", blocks = ["content"])]
struct RemovePage {
    frame: Frame,
    person: Person,
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
    match visitor.ask(Asked::new(Method::DELETE, &api_path(&id))).await {
        Ok(_) => Ok(back(&visitor, format!("{} was deleted. Their sessions have ended.", gone.name))),
        Err(PageError::Refused(refusal)) if refusal.status == StatusCode::CONFLICT => {
            let page = page(&visitor, &id, Some(sentence(&refusal.message))).await?;
            if visitor.by_script { html(refusal.status, &page.as_content()) } else { html(refusal.status, &page) }
        }
        Err(error) => Err(error),
    }
}
