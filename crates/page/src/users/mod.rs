//! `/users`: who may log in to an org, for its admins.

pub(super) mod add;
pub(super) mod edit;
pub(super) mod list;
mod password;
pub(super) mod remove;

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use toktra_siem_app::{named, users};
use toktra_siem_core::people::Role;
use toktra_siem_wire::{User, UserWithPassword};

use super::answer::{Result, html};
use super::frame::{Frame, Notice, Section};
use super::visitor::Visitor;

/// Where the list is.
const USERS: &str = "/users";

/// A role as one word.
fn role_word(role: Role) -> &'static str {
    match role {
        Role::Admin => "Admin",
        Role::Viewer => "Viewer",
    }
}

/// The same, with what it means.
pub(crate) fn role_sentence(role: Role) -> &'static str {
    match role {
        Role::Admin => "Admin: may change everything of the organization",
        Role::Viewer => "Viewer: sees connectors, deliveries and events, and changes nothing",
    }
}

/// The word that the API has for the role that a form names; another word is passed on, for the API to refuse.
fn role_of(form: &str) -> &str {
    if form.is_empty() { "viewer" } else { form }
}

async fn person(visitor: &Visitor, id: &str) -> Result<User> {
    Ok(users::get(visitor.app(), visitor.caller(), named(id)?).await?)
}

/// A user as the pages show them.
trait Person {
    /// Whether it is whoever looks.
    fn is(&self, visitor: &Visitor) -> bool;
    fn role_word(&self) -> &'static str;
    fn is_admin(&self) -> bool;
}

impl Person for User {
    fn is(&self, visitor: &Visitor) -> bool {
        self.id == visitor.session().user.id
    }

    fn role_word(&self) -> &'static str {
        role_word(self.role)
    }

    fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }
}

/// A password to hand over, and where to log in with it.
#[derive(Template)]
#[template(path = "dashboard/users/handed.html", blocks = ["content"])]
struct HandedOver {
    frame: Frame,
    title: String,
    note: String,
    name: String,
    email: String,
    /// What was made up for them; `None` where somebody typed it, and so knows it.
    password: Option<SecretString>,
    login: String,
}

impl HandedOver {
    /// The answer to what made or changed them. What was made up is in it and nowhere else.
    fn answer(visitor: &Visitor, title: String, note: String, made: UserWithPassword) -> Result {
        let UserWithPassword { user, password } = made;
        let page = Self {
            frame: visitor.frame(title.clone(), Section::Users),
            title,
            note,
            name: user.name,
            email: user.email.to_string(),
            password: password.map(|password| password.0),
            login: format!("{}/login", visitor.site.address()),
        };
        if visitor.by_script { html(StatusCode::OK, &page.as_content()) } else { html(StatusCode::OK, &page) }
    }

    fn shown(&self) -> Option<&str> {
        self.password.as_ref().map(ExposeSecret::expose_secret)
    }
}

/// Goes back to the list.
fn back(visitor: &Visitor, done: String) -> Response {
    visitor.go_with(USERS, Notice::done(done))
}
