//! A line of the audit log as a sentence. Every action that the code can write has one; a test looks for them in the sources.

use serde_json::Value;
use toktra_siem_core::people::ActorKind;
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::AuditEntry;

use super::diff;
use super::model::{Names, Sides as _};
use crate::show;
use crate::visitor::{segment, with_query};

/// Who did something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Actor {
    /// As people call it.
    pub(super) name: String,
    /// What it is, where the name does not say so.
    pub(super) kind: Option<&'static str>,
}

/// What was done: words, the object between them, and words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sentence {
    /// Before the object.
    pub(super) verb: String,
    /// What it was done to, where that is worth a word.
    pub(super) object: Option<Object>,
    /// Behind the object.
    pub(super) rest: String,
}

/// What something was done to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Object {
    /// Its name.
    pub(super) name: String,
    /// Where it is shown, as long as it is there.
    pub(super) link: Option<String>,
}

/// Who did it.
pub(super) fn actor(entry: &AuditEntry, names: &Names) -> Actor {
    let known = |all: &std::collections::HashMap<String, String>| {
        entry.actor_id.and_then(|id| all.get(&id.to_string())).cloned()
    };
    match entry.actor_kind {
        ActorKind::User => Actor { name: known(&names.people).unwrap_or_else(|| entry.actor.clone()), kind: None },
        ActorKind::ApiKey => {
            Actor { name: known(&names.keys).unwrap_or_else(|| entry.actor.clone()), kind: Some("API key") }
        }
        ActorKind::Environment => Actor { name: "The environment".to_owned(), kind: None },
        ActorKind::System => Actor { name: format!("The server ({})", entry.actor), kind: None },
    }
}

/// What was done. None where the action is one of another version.
pub(super) fn of(entry: &AuditEntry, names: &Names) -> Option<Sentence> {
    let (object, verb) = entry.action.split_once('.')?;
    match object {
        "connector" => of_connector(entry, names, verb),
        "job" => of_job(entry, names, verb),
        "api_key" => of_key(entry, names, verb),
        "user" => of_user(entry, names, verb),
        "session" => of_session(entry, names, verb),
        "org" => of_org(entry, verb),
        "notification_channel" => of_channel(entry, names, verb),
        _ => None,
    }
}

/// For an action that nobody taught the page.
pub(super) fn unknown(entry: &AuditEntry) -> Sentence {
    let object = Object { name: entry.object.clone(), link: None };
    Sentence { verb: format!("did {} to", entry.action), object: Some(object), rest: String::new() }
}

fn says(verb: impl Into<String>, object: Object) -> Sentence {
    Sentence { verb: verb.into(), object: Some(object), rest: String::new() }
}

fn connector(id: &str, entry: &AuditEntry, names: &Names) -> Object {
    match names.connectors.get(id) {
        Some(name) => Object { name: name.clone(), link: Some(format!("/integrations/siem/{}", segment(id))) },
        None => Object {
            name: entry.named("name").map_or_else(|| "a connector that was deleted".to_owned(), str::to_owned),
            link: None,
        },
    }
}

fn of_connector(entry: &AuditEntry, names: &Names, verb: &str) -> Option<Sentence> {
    let object = connector(&entry.object, entry, names);
    Some(match verb {
        "create" => says("added connector", object),
        "update" => updated(entry, object),
        "delete" => says("deleted connector", Object { link: None, ..object }),
        "test" if entry.detail.get("saved") == Some(&Value::Bool(false)) => {
            let name = entry.detail.get("connector").and_then(|tried| tried.get("name")).and_then(Value::as_str);
            Sentence {
                verb: "tested settings that were not saved".to_owned(),
                object: name.map(|name| Object { name: name.to_owned(), link: object.link }),
                rest: String::new(),
            }
        }
        "test" => match entry.detail.get("sample").and_then(Value::as_str) {
            Some(kind) => says(format!("sent a sample of the type {kind} to"), object),
            None => says("sent a test delivery to", object),
        },
        "index_template" => says("put the index template in place for", object),
        "signing_secret.rotate" => says("rotated the signing secret of", object),
        "signing_secret.activate" => says("activated the new signing secret of", object),
        "signing_secret.cancel" => says("cancelled the rotation of the signing secret of", object),
        "signing_secret.reveal" => says("looked once again at the signing secret of", object),
        "acknowledge" => Sentence { rest: known(entry), ..says("acknowledged", object) },
        "acknowledge.end" => says("ended the acknowledgement of", object),
        "reseal" => says("sealed the stored secrets anew for", object),
        _ => return None,
    })
}

/// What somebody knows of a connector, and until when.
fn known(entry: &AuditEntry) -> String {
    let until = entry.named("until").and_then(|until| serde_json::from_value::<Timestamp>(until.into()).ok());
    let until = until.map(|until| format!(" until {}", show::utc(until))).unwrap_or_default();
    entry.named("note").map_or_else(String::new, |note| format!("{until}: {note}"))
}

fn of_channel(entry: &AuditEntry, names: &Names, verb: &str) -> Option<Sentence> {
    let there = names.channels.get(&entry.object);
    let name = there.map(String::as_str).or_else(|| entry.named("name")).unwrap_or("one that was deleted");
    let link = there.map(|_| format!("/notifications/{}", segment(&entry.object)));
    let object = Object { name: name.to_owned(), link };
    Some(match verb {
        "create" => says("added notification channel", object),
        "update" => says("changed notification channel", object),
        "delete" => says("deleted notification channel", Object { link: None, ..object }),
        "test" => says("sent a test message to notification channel", object),
        "signing_secret.reveal" => says("looked once again at the signing secret of notification channel", object),
        _ => return None,
    })
}

/// What was changed of a connector, in words that say the most.
fn updated(entry: &AuditEntry, object: Object) -> Sentence {
    let changed = diff::changed(entry);
    if changed == ["active"] {
        let on = entry.side("after").and_then(|after| after.get("active")) == Some(&Value::Bool(true));
        return says(if on { "switched on" } else { "switched off" }, object);
    }
    if changed == ["name"] {
        return renamed(entry, object);
    }
    let mut parts = Vec::new();
    let mut has = |part: &'static str, is: &dyn Fn(&str) -> bool| {
        if changed.iter().any(|path| is(path)) {
            parts.push(part);
        }
    };
    has("name", &|path| path == "name");
    has("filter", &|path| path.starts_with("filter."));
    has("credentials", &|path| path.starts_with("config.") && diff::is_secret(entry, path));
    has("settings", &|path| (path.starts_with("config.") || path == "platform") && !diff::is_secret(entry, path));
    has("signing secret", &|path| path.starts_with("signing_secret"));
    has("active flag", &|path| path == "active");
    has("owner", &|path| path.starts_with("managed_by"));
    // What is shown of a secret may be the same before and after.
    let secrets = entry.detail.get("secrets_changed").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let signing = secrets.iter().any(|name| name == "signing_secret");
    let credential = entry.detail.get("credential_changed") == Some(&Value::Bool(true));
    for (part, changed) in [("credentials", credential), ("signing secret", signing)] {
        if changed && !parts.contains(&part) {
            parts.push(part);
        }
    }
    if parts.is_empty() {
        return Sentence { rest: ", with nothing changed that is shown".to_owned(), ..says("saved", object) };
    }
    says(format!("changed the {} of", listed(&parts)), object)
}

fn renamed(entry: &AuditEntry, object: Object) -> Sentence {
    let name = |side| entry.side(side).and_then(|side| side.get("name")).and_then(Value::as_str).unwrap_or_default();
    Sentence {
        verb: format!("renamed “{}” to", name("before")),
        object: Some(Object { name: name("after").to_owned(), ..object }),
        rest: String::new(),
    }
}

/// `name, filter and settings`.
fn listed(parts: &[&str]) -> String {
    match parts {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn of_job(entry: &AuditEntry, names: &Names, verb: &str) -> Option<Sentence> {
    let text = |member: &str| entry.detail.get(member).and_then(Value::as_str).unwrap_or_default();
    let count = |member: &str| entry.detail.get(member).and_then(Value::as_u64).unwrap_or_default();
    let events = show::counted(count("total"), "event", "events");
    let what = match text("kind") {
        "redeliver" => "deliver a delivery again",
        "redeliver_failed" => "deliver again what had failed",
        "replay" => "replay events",
        "discard" => "discard what had failed",
        _ => "work",
    };
    let to =
        Sentence { rest: format!(": {events}"), ..says(String::new(), connector(text("connector_id"), entry, names)) };
    Some(match verb {
        "create" => Sentence { verb: format!("began to {what} for"), ..to },
        "cancel" => Sentence {
            verb: format!("ended the work to {what} for"),
            rest: format!(" after {} of {events}", show::count(count("processed"))),
            ..to
        },
        _ => return None,
    })
}

fn of_key(entry: &AuditEntry, names: &Names, verb: &str) -> Option<Sentence> {
    let name = entry
        .named("name")
        .or_else(|| names.keys.get(&entry.object).map(String::as_str))
        .unwrap_or("of an unknown name");
    let link = names.keys.contains_key(&entry.object).then(|| "/api-keys".to_owned());
    let object = Object { name: name.to_owned(), link };
    Some(match verb {
        "create" => says("made API key", object),
        "reveal" => says("looked once again at API key", object),
        "revoke" => says("revoked API key", Object { link: None, ..object }),
        _ => return None,
    })
}

fn person(entry: &AuditEntry, names: &Names) -> Object {
    if let Some(name) = names.people.get(&entry.object) {
        return Object { name: name.clone(), link: Some("/users".to_owned()) };
    }
    let name = entry.named("name").or_else(|| entry.named("email")).unwrap_or("somebody who was removed");
    Object { name: name.to_owned(), link: None }
}

fn of_user(entry: &AuditEntry, names: &Names, verb: &str) -> Option<Sentence> {
    let object = person(entry, names);
    let own = entry.actor_id.is_some_and(|id| id.to_string() == entry.object);
    Some(match verb {
        "create" => says("added user", object),
        "delete" => says("removed user", Object { link: None, ..object }),
        "password" if own => {
            Sentence { verb: "changed their own password".to_owned(), rest: address(entry), ..Sentence::default() }
        }
        "password" => Sentence { rest: address(entry), ..says("changed the password of", object) },
        "password.reveal" => says("looked once again at the new password of", object),
        "update" => {
            let changed = diff::changed(entry);
            let mut parts: Vec<&str> = Vec::new();
            for (path, part) in [("name", "name"), ("email", "e-mail address"), ("role", "role")] {
                if changed.iter().any(|changed| changed == path) {
                    parts.push(part);
                }
            }
            if entry.detail.get("password_changed") == Some(&Value::Bool(true)) {
                parts.push("password");
            }
            if parts.is_empty() {
                says("saved", object)
            } else {
                says(format!("changed the {} of", listed(&parts)), object)
            }
        }
        _ => return None,
    })
}

fn address(entry: &AuditEntry) -> String {
    entry.named("address").map(|address| format!(" from {address}")).unwrap_or_default()
}

fn of_session(entry: &AuditEntry, names: &Names, verb: &str) -> Option<Sentence> {
    Some(match verb {
        "create" => Sentence { verb: "logged in".to_owned(), rest: address(entry), ..Sentence::default() },
        "end" => Sentence { verb: "logged out".to_owned(), ..Sentence::default() },
        "limit" => {
            let object = Some(person(entry, names)).filter(|_| entry.object.parse::<uuid::Uuid>().is_ok());
            let verb = if object.is_some() {
                "refused further attempts to log in as"
            } else {
                "refused further attempts to log in"
            };
            Sentence { verb: verb.to_owned(), object, rest: address(entry) }
        }
        _ => return None,
    })
}

fn of_org(entry: &AuditEntry, verb: &str) -> Option<Sentence> {
    let name =
        entry.named("name").or_else(|| entry.detail.get("name").and_then(Value::as_str)).unwrap_or(&entry.object);
    let object = Object { name: name.to_owned(), link: None };
    Some(match verb {
        "create" => says("made organization", object),
        "rename" => renamed(entry, object),
        "delete" => says("removed organization", object),
        _ => return None,
    })
}

/// The log with everything of this object, and of this actor.
pub(super) fn links(entry: &AuditEntry) -> (String, String) {
    let actor = entry.actor_id.map_or_else(|| entry.actor.clone(), |id| id.to_string());
    (with_query("/audit", [("object", &*entry.object)]), with_query("/audit", [("actor", &*actor)]))
}

#[cfg(test)]
mod tests;
