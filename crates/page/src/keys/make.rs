//! Making an API key, and showing it: in the answer to the form, and nowhere else.

use std::time::Duration;

use askama::Template;
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use toktra_siem_app::keys;
use toktra_siem_core::people::Scope;
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::{ApiKey, ApiKeyMade};

use super::Told as _;
use crate::answer::{Result, html};
use crate::faults::Faults;
use crate::first_run;
use crate::form::Form;
use crate::frame::{Frame, Section};
use crate::visitor::Visitor;

/// How long a key may be used.
struct Lifetime {
    word: &'static str,
    name: &'static str,
    days: Option<u64>,
}

const LIFETIMES: [Lifetime; 4] = [
    Lifetime { word: "30", name: "30 days", days: Some(30) },
    Lifetime { word: "90", name: "90 days", days: Some(90) },
    Lifetime { word: "365", name: "1 year", days: Some(365) },
    Lifetime { word: "never", name: "Never", days: None },
];
/// What is chosen where nobody chose: long enough to be forgotten about, and not for ever.
const USUAL: &str = "365";

#[derive(Template)]
#[template(path = "dashboard/keys/make.html", blocks = ["content"])]
struct MakePage {
    frame: Frame,
    name: String,
    scopes: Vec<String>,
    lifetime: String,
    faults: Faults,
}

impl MakePage {
    fn summary(&self) -> Option<String> {
        self.faults.summary("No key was made.", &["/name", "/scopes"])
    }

    fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|word| word == scope)
    }

    /// Beside the boxes the API's list of words would say nothing new.
    fn scopes_fault(&self) -> Option<String> {
        self.faults.of("/scopes").map(|_| "Choose at least one.".to_owned())
    }
}

#[derive(Template)]
#[template(path = "dashboard/keys/made.html", blocks = ["content"])]
struct MadePage {
    frame: Frame,
    made: ApiKey,
    key: SecretString,
    example: String,
}

/// The form for the key of a producer, its name filled in.
pub(crate) const FOR_A_PRODUCER: &str = "/api-keys/new?name=First+producer";

/// `GET /api-keys/new?name=…`.
pub(crate) async fn ask(visitor: Visitor) -> Result {
    visitor.page(&MakePage {
        frame: visitor.frame("Make an API key", Section::Keys),
        name: visitor.query().text("name").to_owned(),
        scopes: vec!["events:write".to_owned()],
        lifetime: USUAL.to_owned(),
        faults: Faults::default(),
    })
}

/// `POST /api-keys/new`.
pub(crate) async fn make(visitor: Visitor, form: Form) -> Result {
    let scopes: Vec<String> = form.all("scope").map(str::to_owned).collect();
    let (name, lifetime) = (form.text("name"), form.filled("lifetime").unwrap_or(USUAL));
    let body = json!({ "name": name, "scopes": scopes, "expires_at": expires_at(lifetime, visitor.now) });
    let doing = |app, caller, key| async move { keys::create(&app, &caller, key).await };
    match visitor.once("api-keys", &body, doing).await {
        Ok(ApiKeyMade { record, key }) => {
            let frame = visitor.frame(format!("{} was made", record.name), Section::Keys);
            let example = example(&visitor.site.address(), &record, key.text());
            let page = MadePage { frame, made: record, key: key.0, example };
            if visitor.by_script { html(StatusCode::OK, &page.as_content()) } else { html(StatusCode::OK, &page) }
        }
        Err(refusal) if refusal.status.is_client_error() => {
            let status = refusal.status;
            let page = MakePage {
                frame: visitor.frame("Make an API key", Section::Keys),
                name: name.to_owned(),
                scopes,
                lifetime: lifetime.to_owned(),
                faults: refusal.into(),
            };
            if visitor.by_script { html(status, &page.as_content()) } else { html(status, &page) }
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// When a key of this lifetime ends: with the day (UTC), so that a form that is sent twice asks for the same. What is no lifetime is passed
/// on, for the API to refuse.
fn expires_at(lifetime: &str, now: Timestamp) -> Value {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    match LIFETIMES.iter().find(|known| known.word == lifetime) {
        Some(Lifetime { days, .. }) => json!(days.map(|days| {
            let Timestamp(then) = now.plus(Duration::from_hours(24 * days));
            Timestamp((then.div_euclid(DAY) + 1) * DAY)
        })),
        None => json!(lifetime),
    }
}

/// Whether it may post events.
fn posts(made: &ApiKey) -> bool {
    made.scopes.iter().any(|own| matches!(own, Scope::EventsWrite | Scope::Admin))
}

/// A command to try it with, of what it may do.
fn example(base: &str, made: &ApiKey, key: &str) -> String {
    if posts(made) {
        first_run::with_curl(base, key)
    } else {
        format!("curl {base}/v1/siem/connectors \\\n  -H 'Authorization: Bearer {key}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_becomes_a_time_and_anything_else_is_refused_by_the_api() {
        let now = Timestamp(1_736_937_000_000);
        assert_eq!(expires_at("30", now), json!("2025-02-15T00:00:00.000Z"));
        let later = now.plus(Duration::from_secs(20));
        assert_eq!(expires_at("30", later), expires_at("30", now), "a form that is sent twice asks for the same");
        assert_eq!(expires_at("never", now), Value::Null);
        assert_eq!(expires_at("soon", now), json!("soon"));
    }
}
