//! `/verify`: whether a signature belongs to a body and a secret, or what differs. Everything is computed in the server and nothing of it is
//! kept: no row, no line of a log, and the secret never comes back in an answer.

mod check;
mod finding;
mod header;
mod variants;

use askama::Template;
use http::StatusCode;
use secrecy::SecretString;

use check::Webhook;
use finding::{Outcome, Verdict};

use super::answer::{self, Result};
use super::error::PageError;
use super::form::Form;
use super::frame::{Frame, Section};
use super::show::{self, Html, Mood};
use super::visitor::Visitor;

/// The code of the product's documentation, as the tests run it.
const PYTHON: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/verify/verify.py"));
const NODE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/verify/verify.js"));

/// What was typed and may be shown again. The secret is none of it.
#[derive(Default)]
struct Typed {
    body: String,
    header: String,
    webhook: Webhook,
}

/// The answer to one of the two ways to sign.
struct Answer {
    verdict: Verdict,
    /// What was checked.
    subject: &'static str,
}

impl Answer {
    fn badge(&self) -> Html {
        let (mood, word) = match self.verdict.outcome {
            Outcome::Valid => (Mood::Good, "Valid"),
            Outcome::Explained => (Mood::Degraded, "Not valid, and here is why"),
            Outcome::Invalid => (Mood::Failed, "Not valid"),
            Outcome::Unreadable => (Mood::Failed, "Cannot be read"),
        };
        show::badge(mood, word)
    }

    fn sentence(&self) -> &'static str {
        match self.verdict.outcome {
            Outcome::Valid => "The signature belongs to this body and this secret. The documented code accepts it.",
            Outcome::Explained => "The documented code refuses it, because:",
            Outcome::Invalid => "The documented code refuses it.",
            Outcome::Unreadable => "The documented code refuses whatever it is compared with.",
        }
    }

    /// Shown where one may compare by eye.
    fn expected(&self) -> Option<&str> {
        self.verdict.expected.as_deref().filter(|_| self.verdict.outcome != Outcome::Valid)
    }
}

/// What is shown beside the form.
#[derive(Default)]
struct Results {
    answers: Vec<Answer>,
    /// What has to be typed first.
    missing: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "dashboard/verify/verify.html", blocks = ["verdict"])]
struct VerifyPage {
    frame: Frame,
    typed: Typed,
    result: Results,
}

fn page(visitor: &Visitor, typed: Typed, result: Results) -> VerifyPage {
    VerifyPage { frame: visitor.frame("Verify a signature", Section::Verify), typed, result }
}

/// `GET /verify`.
pub(super) async fn show(visitor: Visitor) -> Result {
    visitor.page(&page(&visitor, Typed::default(), Results::default()))
}

/// `POST /verify`.
pub(super) async fn check(visitor: Visitor, form: Form) -> Result {
    let field = |name| form.text(name).to_owned();
    let typed = Typed {
        body: check::body(form.raw("body")),
        header: field("header"),
        webhook: Webhook {
            id: field("webhook_id"),
            timestamp: field("webhook_timestamp"),
            signature: field("webhook_signature"),
        },
    };
    let now = visitor.now;
    let secret = form.secret("secret");
    // Looking for what differs hashes the body some hundred times.
    let done = tokio::task::spawn_blocking(move || (result(&typed, secret, now), typed)).await;
    let (result, typed) = done.map_err(|error| PageError::broken(&error))?;
    let page = page(&visitor, typed, result);
    if visitor.by_script {
        return answer::html(StatusCode::OK, &page.as_verdict());
    }
    visitor.page(&page)
}

fn result(typed: &Typed, secret: Option<SecretString>, now: toktra_siem_core::time::Timestamp) -> Results {
    let missing = |what| Results { answers: Vec::new(), missing: Some(what) };
    let Some(secret) = secret else {
        return missing("Enter the signing secret. It is used for this one check, and neither kept nor shown again.");
    };
    if typed.body.is_empty() {
        return missing("Paste the body of the request: the signature covers every byte of it.");
    }
    let mut answers = Vec::new();
    // An empty field counts as asked for where there is nothing else to check.
    if !typed.header.is_empty() || typed.webhook.is_empty() {
        let verdict = check::signature(&typed.body, &secret, &typed.header);
        answers.push(Answer { verdict, subject: "X-Toktra-Signature" });
    }
    if !typed.webhook.is_empty() {
        let verdict = check::webhook(&typed.body, &secret, &typed.webhook, now);
        answers.push(Answer { verdict, subject: "Standard Webhooks" });
    }
    Results { answers, missing: None }
}
