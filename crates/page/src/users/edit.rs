//! A user: name, address and role, and a new password for somebody who forgot theirs.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};
use toktra_siem_app::{Refusal, named, users};
use toktra_siem_core::ids::UserId;
use toktra_siem_wire::{User, UserWithPassword};

use super::password::Chosen;
use super::{HandedOver, Person as _, back, person, role_of};
use crate::answer::{Result, html};
use crate::faults::Faults;
use crate::form::Form;
use crate::frame::{Frame, Section};
use crate::shown::ShownSecrets;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "dashboard/users/edit.html", blocks = ["content"])]
struct EditPage {
    frame: Frame,
    /// As it is stored.
    person: User,
    you: bool,
    name: String,
    email: String,
    role: String,
    faults: Faults,
    typed: bool,
    password_faults: Faults,
    shown: ShownSecrets,
}

impl EditPage {
    async fn of(visitor: &Visitor, person: User) -> Result<Self> {
        Ok(Self {
            shown: ShownSecrets::of(visitor).await?,
            frame: visitor.frame(person.name.clone(), Section::Users),
            you: person.is(visitor),
            name: person.name.clone(),
            email: person.email.to_string(),
            role: person.role_word().to_lowercase(),
            faults: Faults::default(),
            typed: false,
            password_faults: Faults::default(),
            person,
        })
    }

    fn summary(&self) -> Option<String> {
        self.faults.summary("Nothing was saved.", &["/name", "/email"])
    }

    fn password_summary(&self) -> Option<String> {
        self.password_faults.summary("The password was not changed.", &["/password"])
    }

    fn answer(&self, visitor: &Visitor, status: StatusCode) -> Result {
        if visitor.by_script { html(status, &self.as_content()) } else { html(status, self) }
    }
}

/// `GET /users/{id}`.
pub(crate) async fn show(visitor: Visitor, Path(id): Path<String>) -> Result {
    EditPage::of(&visitor, person(&visitor, &id).await?).await?.answer(&visitor, StatusCode::OK)
}

/// `POST /users/{id}`.
pub(crate) async fn save(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result<Response> {
    let (name, email, role) = (form.text("name"), form.text("email"), role_of(form.text("role")));
    match change(&visitor, &id, &json!({ "name": name, "email": email, "role": role })).await? {
        Ok(UserWithPassword { user: person, .. }) => {
            let role = if person.is_admin() { "an admin" } else { "a viewer" };
            Ok(back(&visitor, format!("{} was saved, and is {role}.", person.name)))
        }
        Err(refusal) => {
            let status = refusal.status;
            let page = EditPage {
                name: name.to_owned(),
                email: email.to_owned(),
                role: role.to_owned(),
                faults: refusal.into(),
                ..EditPage::of(&visitor, person(&visitor, &id).await?).await?
            };
            page.answer(&visitor, status)
        }
    }
}

/// `POST /users/{id}/password`.
pub(crate) async fn set_password(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    let chosen = Chosen::of(&form);
    match change(&visitor, &id, &chosen.in_body(json!({}))).await? {
        Ok(made) => {
            let note = "Their sessions have ended; the old password does not work any more.".to_owned();
            HandedOver::answer(&visitor, format!("{} has a new password", made.user.name), note, made)
        }
        Err(refusal) => {
            let (status, typed) = (refusal.status, chosen.typed());
            let page = EditPage {
                typed,
                password_faults: refusal.into(),
                ..EditPage::of(&visitor, person(&visitor, &id).await?).await?
            };
            page.answer(&visitor, status)
        }
    }
}

/// Changes somebody; a refusal that a person can do something about is an answer.
async fn change(visitor: &Visitor, id: &str, body: &Value) -> Result<Result<UserWithPassword, Refusal>> {
    let id: UserId = named(id)?;
    let doing = |app, caller, change| async move { users::change(&app, &caller, id, change).await };
    match visitor.once(&format!("users/{id}"), body, doing).await {
        Ok(changed) => Ok(Ok(changed)),
        Err(refusal)
            if [StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::BAD_REQUEST]
                .contains(&refusal.status) =>
        {
            Ok(Err(refusal))
        }
        Err(refusal) => Err(refusal.into()),
    }
}
