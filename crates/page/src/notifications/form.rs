//! The form for a channel, made of what the kinds describe, and what a save comes to.

use askama::Template;
use axum::extract::Path;
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use toktra_siem_app::{Object, Refusal, channels};
use toktra_siem_core::notice::Topic;
use toktra_siem_notify::{Descriptor, descriptor, descriptors};
use toktra_siem_platform::view::SecretView;
use toktra_siem_wire::Channel;

use super::draft::{self, Draft};
use super::{LIST, channel, list, topic};
use crate::answer::{Result, html};
use crate::connectors::form::draft::Shown;
use crate::faults::Faults;
use crate::form::Form;
use crate::frame::{Frame, Notice, Section};
use crate::shown::ShownSecrets;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "dashboard/notifications/form.html", blocks = ["content"])]
struct FormPage {
    frame: Frame,
    /// As it is stored, if it is.
    stored: Option<Channel>,
    draft: Draft,
    faults: Faults,
    /// What the operator has to configure first, by kind.
    lacks: Vec<Option<&'static str>>,
    /// A signing secret that was made a moment ago can be shown again.
    shown: ShownSecrets,
}

impl FormPage {
    fn of(visitor: &Visitor, stored: Option<Channel>, draft: Draft, faults: Faults) -> Self {
        let title =
            stored.as_ref().map_or_else(|| "Add notification channel".to_owned(), |one| format!("Edit {}", one.name));
        let lacks = descriptors().map(|of| channels::unconfigured(visitor.app(), of.kind)).collect();
        let shown = ShownSecrets::default();
        Self { frame: visitor.frame(title, Section::Notifications), stored, draft, faults, lacks, shown }
    }

    /// The kinds that somebody can choose, each with its number; of a channel that is there, its own.
    fn kinds(&self) -> Vec<(usize, &'static Descriptor)> {
        let all = descriptors().enumerate().map(|(at, of)| (at + 1, of));
        all.filter(|(_, of)| self.stored.as_ref().is_none_or(|stored| stored.kind == of.kind)).collect()
    }

    fn lacks(&self, number: usize) -> Option<&'static str> {
        self.lacks.get(number - 1).copied().flatten()
    }

    fn inputs(&self, of: &Descriptor) -> Vec<Shown> {
        self.draft.inputs(of, self.stored.as_ref(), &self.faults)
    }

    /// Each topic: its word, what it is called and means, and whether it is ticked.
    fn topics(&self) -> Vec<(&'static str, &'static str, &'static str, bool)> {
        let one = |known: &Topic| {
            let ((name, sentence), word) = (topic(*known), known.as_str());
            (word, name, sentence, self.draft.events.iter().any(|ticked| ticked == word))
        };
        Topic::ALL.iter().map(one).collect()
    }

    fn summary(&self) -> Option<String> {
        let pointers = draft::pointers();
        self.faults.summary("Nothing was saved.", &pointers.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Beside the boxes the API's list of words would say nothing new.
    fn events_fault(&self) -> Option<String> {
        self.faults.of("/events").map(|_| "Choose at least one, or “All of them”.".to_owned())
    }

    fn action(&self) -> String {
        self.stored.as_ref().map_or_else(|| format!("{LIST}/new"), |stored| format!("{LIST}/{}", stored.id))
    }

    fn answer(&self, visitor: &Visitor, status: StatusCode) -> Result {
        if visitor.by_script { html(status, &self.as_content()) } else { html(status, self) }
    }
}

/// A secret that was made for a channel: shown in the answer to the form that made it, and nowhere else.
#[derive(Template)]
#[template(path = "dashboard/notifications/made.html", blocks = ["content"])]
struct MadePage {
    frame: Frame,
    label: &'static str,
    secret: SecretString,
    /// What a test message came to.
    tested: Option<Notice>,
}

/// `GET /notifications/new?kind=…`.
pub(crate) async fn new(visitor: Visitor) -> Result {
    let draft = Draft::fresh(visitor.query().text("kind"));
    visitor.page(&FormPage::of(&visitor, None, draft, Faults::default()))
}

/// `GET /notifications/{id}`.
pub(crate) async fn edit(visitor: Visitor, Path(id): Path<String>) -> Result {
    let stored = channel(&visitor, &id).await?;
    let draft = Draft::stored(&stored);
    let shown = ShownSecrets::of(&visitor).await?;
    visitor.page(&FormPage { shown, ..FormPage::of(&visitor, Some(stored), draft, Faults::default()) })
}

/// `POST /notifications/new`.
pub(crate) async fn create(visitor: Visitor, form: Form) -> Result {
    let tests = form.text("then") == "test";
    let draft = Draft::typed(form);
    let doing = |app, caller, channel| async move { channels::create(&app, &caller, channel).await };
    match visitor.once("notification-channels", &draft.body(None), doing).await {
        Ok(made) => saved(&visitor, made, tests, "added").await,
        Err(refusal) => refused(&visitor, None, draft, refusal),
    }
}

/// `POST /notifications/{id}`.
pub(crate) async fn save(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    let stored = channel(&visitor, &id).await?;
    let tests = form.text("then") == "test";
    let draft = Draft { kind: stored.kind.as_str().to_owned(), ..Draft::typed(form) };
    let change = Object::of(&draft.body(Some(&stored)));
    match channels::change(visitor.app(), visitor.caller(), stored.id, change).await {
        Ok(changed) => saved(&visitor, changed, tests, "saved").await,
        Err(refusal) => refused(&visitor, Some(stored), draft, refusal),
    }
}

fn refused(visitor: &Visitor, stored: Option<Channel>, draft: Draft, refusal: Refusal) -> Result {
    if !refusal.status.is_client_error() || refusal.status == StatusCode::NOT_FOUND {
        return Err(refusal.into());
    }
    let status = refusal.status;
    let faults = draft::faults(&draft.kind, refusal);
    FormPage::of(visitor, stored, draft, faults).answer(visitor, status)
}

/// On to the list, which says how a test went; but a secret that was made is shown here.
async fn saved(visitor: &Visitor, mut saved: Channel, tests: bool, done: &str) -> Result {
    let tested = if tests { Some(list::tried(visitor, saved.id).await?) } else { None };
    let secret = descriptor(saved.kind).fields.iter().find_map(|field| {
        let view = saved.config.get_mut(field.name).filter(|_| field.secret).map(Value::take)?;
        let view: SecretView = serde_json::from_value(view).ok()?;
        Some((field.label, view.value?))
    });
    if let Some((label, secret)) = secret {
        let frame = visitor.frame(format!("{} was {done}", saved.name), Section::Notifications);
        let page = MadePage { frame, label, secret, tested };
        return if visitor.by_script { html(StatusCode::OK, &page.as_content()) } else { html(StatusCode::OK, &page) };
    }
    let said = format!("“{}” was {done}.", saved.name);
    let notice = match tested {
        Some(tested) => Notice { text: format!("{said} {}", tested.text), ..tested },
        None if tests => Notice::done(said),
        None => Notice::done(format!("{said} To be sure that it works, send a test message.")),
    };
    Ok(visitor.go_with(LIST, notice))
}
