//! `/api-keys`: the keys of an org, for its admins. A key is shown once, in the answer to the form that made it.

pub(super) mod list;
pub(super) mod make;
pub(super) mod revoke;

use std::time::Duration;

use toktra_siem_app::{keys, named};
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::ApiKey;

use super::answer::Result;
use super::show::{self, Html, Mood};
use super::visitor::Visitor;

/// Where the list is.
const KEYS: &str = "/api-keys";
/// A key that expires within this time is marked, so that somebody makes another one before it does.
const SOON: Duration = Duration::from_hours(14 * 24);

/// What a key may do.
struct Scope {
    /// As the API calls it.
    word: &'static str,
    /// For people.
    name: &'static str,
    /// What that is.
    sentence: &'static str,
}

/// The scopes of an org, from least to most.
const SCOPES: [Scope; 4] = [
    Scope {
        word: "events:write",
        name: "Send events",
        sentence: "Post events. Enough for an application that only sends events.",
    },
    Scope {
        word: "siem:read",
        name: "Read",
        sentence: "See connectors, deliveries, events and health. For monitoring and reports.",
    },
    Scope {
        word: "siem:write",
        name: "Manage connectors",
        sentence: "Add, change, test and delete connectors; deliver again, replay, discard.",
    },
    Scope {
        word: "admin",
        name: "Administer",
        sentence: "Everything in this organization: all of the above, users, API keys and the audit log.",
    },
];

/// A scope in words; one that this page does not know, as the API calls it.
fn scope_name(word: &str) -> &str {
    SCOPES.iter().find(|scope| scope.word == word).map_or(word, |scope| scope.name)
}

/// An API key, in words.
trait Told {
    fn scopes_in_words(&self) -> String;
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates lend what they hold")]
    fn expiry(&self, now: &Timestamp) -> Html;
}

impl Told for ApiKey {
    fn scopes_in_words(&self) -> String {
        let names: Vec<&str> = self.scopes.iter().map(|scope| scope_name(scope.as_str())).collect();
        names.join(", ")
    }

    /// When it ends, and whether somebody should do something about it.
    fn expiry(&self, now: &Timestamp) -> Html {
        let now = *now;
        match self.expires_at {
            None => Html::text("Never"),
            Some(end) if end <= now => show::badge(Mood::Failed, &format!("Expired {}", show::ago(end, now))),
            Some(end) if end.since(now) <= SOON => {
                show::badge(Mood::Degraded, &format!("Expires {}", show::ago(end, now)))
            }
            Some(end) => show::time(end, &show::ago(end, now), false),
        }
    }
}

async fn key(visitor: &Visitor, id: &str) -> Result<ApiKey> {
    Ok(keys::get(visitor.app(), visitor.caller(), named(id)?).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_to_act_sees_it() {
        let now = Timestamp(1_736_937_000_000);
        let key = |expires_at| ApiKey {
            id: toktra_siem_core::ids::ApiKeyId(uuid::Uuid::nil()),
            org_id: None,
            name: "CI".into(),
            prefix: "tsk_12345678".into(),
            scopes: vec![toktra_siem_core::people::Scope::EventsWrite, toktra_siem_core::people::Scope::SiemRead],
            created_at: now,
            created_by: None,
            expires_at,
            last_used_at: None,
        };
        let days = |n: u64| key(Some(now.plus(Duration::from_hours(24 * n)))).expiry(&now).to_string();
        assert_eq!(key(None).scopes_in_words(), "Send events, Read");
        assert_eq!(key(None).expiry(&now), Html::text("Never"));
        assert!(days(14).contains("degraded") && days(14).contains("Expires in 14 d"), "{}", days(14));
        assert!(days(15).contains("in 15 d") && !days(15).contains("badge"), "{}", days(15));
        assert!(key(Some(now)).expiry(&now).to_string().contains("Expired just now"));
    }

    #[test]
    fn every_scope_of_an_org_can_be_given() {
        let words: Vec<String> = toktra_siem_identity::api_keys::ORG_SCOPES
            .iter()
            .map(|s| serde_json::to_value(s).unwrap().as_str().unwrap().to_owned())
            .collect();
        assert_eq!(words, SCOPES.map(|scope| scope.word));
    }
}
