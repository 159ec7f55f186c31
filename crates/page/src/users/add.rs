//! Adding a user: who it is, what they may do, and the password that somebody hands over to them.

use askama::Template;
use serde_json::json;
use toktra_siem_app::users;

use super::password::Chosen;
use super::{HandedOver, Person as _, role_of};
use crate::answer::{Result, html};
use crate::faults::Faults;
use crate::form::Form;
use crate::frame::{Frame, Section};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "dashboard/users/add.html", blocks = ["content"])]
struct AddPage {
    frame: Frame,
    name: String,
    email: String,
    role: String,
    /// Whether the password is typed rather than made up.
    typed: bool,
    faults: Faults,
}

impl AddPage {
    fn summary(&self) -> Option<String> {
        self.faults.summary("Nobody was added.", &["/name", "/email", "/password"])
    }
}

/// `GET /users/new`.
pub(crate) async fn ask(visitor: Visitor) -> Result {
    visitor.page(&AddPage {
        frame: visitor.frame("Add user", Section::Users),
        name: String::new(),
        email: String::new(),
        role: "viewer".to_owned(),
        typed: false,
        faults: Faults::default(),
    })
}

/// `POST /users/new`.
pub(crate) async fn add(visitor: Visitor, form: Form) -> Result {
    let chosen = Chosen::of(&form);
    let (name, email, role) = (form.text("name"), form.text("email"), role_of(form.text("role")));
    let body = chosen.in_body(json!({ "name": name, "email": email, "role": role }));
    let doing = |app, caller, user| async move { users::create(&app, &caller, user).await };
    match visitor.once("users", &body, doing).await {
        Ok(made) => {
            let note = format!("{}, and may log in from now on.", made.user.role_word());
            HandedOver::answer(&visitor, format!("{} was added", made.user.name), note, made)
        }
        Err(refusal) if refusal.status.is_client_error() => {
            let status = refusal.status;
            let page = AddPage {
                frame: visitor.frame("Add user", Section::Users),
                name: name.to_owned(),
                email: email.to_owned(),
                role: role.to_owned(),
                typed: chosen.typed(),
                faults: refusal.into(),
            };
            if visitor.by_script { html(status, &page.as_content()) } else { html(status, &page) }
        }
        Err(refusal) => Err(refusal.into()),
    }
}
