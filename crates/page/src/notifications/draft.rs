//! The form for a channel and the API's body: what is typed becomes a body, and what is stored, or was typed, becomes what the form shows.
//! The fields are those that each kind describes. A secret goes one way only: from the form into the body.

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use toktra_siem_app::{Code, Refusal};
use toktra_siem_core::fault::FieldFault;
use toktra_siem_core::notice::Topic;
use toktra_siem_notify::{Descriptor, Field, descriptors};
use toktra_siem_platform::view::SecretView;
use toktra_siem_wire::Channel;

use crate::connectors::form::draft::{NONE, Shown};
use crate::connectors::model;
use crate::faults::Faults;
use crate::form::Form;

/// What stands in the form.
pub(super) struct Draft {
    pub(super) kind: String,
    pub(super) name: String,
    /// Whether only some topics are told.
    pub(super) only: bool,
    pub(super) events: Vec<String>,
    pub(super) active: bool,
    /// As it was sent, secrets and all.
    pub(super) typed: Form,
}

/// The name of the input of a setting, and its id.
fn input(of: &Descriptor, field: &Field) -> String {
    format!("{}_{}", of.kind.as_str(), field.name)
}

impl Draft {
    /// That of a new channel.
    pub(super) fn fresh(kind: &str) -> Self {
        let kind = descriptors().find(|of| of.kind.as_str() == kind).or_else(|| descriptors().next());
        Self {
            kind: kind.map_or_else(String::new, |of| of.kind.as_str().to_owned()),
            name: String::new(),
            only: false,
            events: words(Topic::ALL),
            active: true,
            typed: Form::default(),
        }
    }

    /// That of a channel that is there.
    pub(super) fn stored(channel: &Channel) -> Self {
        Self {
            kind: channel.kind.as_str().to_owned(),
            name: channel.name.clone(),
            only: channel.events.len() < Topic::ALL.len(),
            events: words(&channel.events),
            active: channel.active,
            typed: Form::default(),
        }
    }

    /// What was typed.
    pub(super) fn typed(form: Form) -> Self {
        Self {
            kind: form.text("kind").to_owned(),
            name: form.text("name").to_owned(),
            only: form.text("forward") == "only",
            events: form.all("events").map(str::to_owned).collect(),
            active: form.has("active"),
            typed: form,
        }
    }

    /// The body that makes a channel, or that changes `stored`.
    pub(super) fn body(&self, stored: Option<&Channel>) -> Value {
        let kind = stored.map_or(&*self.kind, |channel| channel.kind.as_str());
        let events = if self.only { self.events.clone() } else { words(Topic::ALL) };
        let mut body = json!({ "name": self.name, "events": events, "active": self.active });
        if stored.is_none() {
            body["kind"] = kind.into();
        }
        if let Some(of) = descriptors().find(|of| of.kind.as_str() == kind) {
            body["config"] = self.config(of, stored).into();
        }
        body
    }

    fn config(&self, of: &Descriptor, stored: Option<&Channel>) -> Map<String, Value> {
        let value = |field: &Field| {
            let name = input(of, field);
            if field.list {
                return Some(json!(items(self.typed.raw(&name))));
            }
            let there = stored.is_some_and(|channel| channel.config.contains_key(field.name));
            let typed = if field.secret {
                self.typed.secret(&name).map(|secret| secret.expose_secret().to_owned())
            } else {
                self.typed.filled(&name).map(str::to_owned)
            };
            match typed {
                Some(typed) if field.secret && typed == NONE && there && !field.required => Some(Value::Null),
                Some(typed) => Some(typed.into()),
                // A secret that is left empty stays; anything else goes.
                None if field.secret || !there => None,
                None => Some(Value::Null),
            }
        };
        of.fields.iter().filter_map(|field| Some((field.name.to_owned(), value(field)?))).collect()
    }

    /// The inputs of a kind, with what is stored of them and what is wrong with them.
    pub(super) fn inputs(&self, of: &Descriptor, stored: Option<&Channel>, faults: &Faults) -> Vec<Shown> {
        let kept = |field: &Field| stored.and_then(|channel| channel.config.get(field.name));
        let show = |field: &Field| {
            let name = input(of, field);
            let value = match kept(field) {
                _ if field.secret => String::new(),
                _ if self.typed.has(&name) => self.typed.raw(&name).to_owned(),
                Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
                Some(value) => value.as_str().unwrap_or_default().to_owned(),
                None => String::new(),
            };
            let secret = kept(field).filter(|_| field.secret);
            let secret: Option<SecretView> = secret.and_then(|view| serde_json::from_value(view.clone()).ok());
            let applies = if field.required { "" } else { field.example };
            Shown {
                label: field.label,
                hint: field.help,
                default: if field.list { field.example } else { applies },
                input: match (field.secret, field.list) {
                    (true, _) => "secret",
                    (_, true) => "lines",
                    _ => "text",
                },
                choices: Vec::new(),
                value,
                told: secret.as_ref().and_then(model::told).map(|told| {
                    let other = " A hyphen alone (-) has a new one generated, which is shown once.";
                    if field.required { told } else { told + other }
                }),
                fault: faults.of(&pointer(field)).filter(|_| of.kind.as_str() == self.kind),
                beside: None,
                name,
            }
        };
        of.fields.iter().map(show).collect()
    }
}

fn words(topics: &[Topic]) -> Vec<String> {
    topics.iter().map(|topic| topic.as_str().to_owned()).collect()
}

/// One a line, or with commas between them.
fn items(text: &str) -> Vec<&str> {
    text.split(['\n', ',', ';']).map(str::trim).filter(|item| !item.is_empty()).collect()
}

fn pointer(field: &Field) -> String {
    format!("/config/{}", field.name)
}

/// The pointers of everything that has a place in the form.
pub(super) fn pointers() -> Vec<String> {
    let fields = descriptors().flat_map(|of| of.fields).map(pointer);
    ["/name", "/kind", "/events"].into_iter().map(str::to_owned).chain(fields).collect()
}

/// What the API refused, each fault where the form has a field for it: that of an item of a list beside the list, and that of an address that
/// the server does not connect to beside the URL.
pub(super) fn faults(kind: &str, mut refusal: Refusal) -> Faults {
    let fields = || descriptors().filter(|of| of.kind.as_str() == kind).flat_map(|of| of.fields);
    for field in fields().filter(|field| field.list) {
        let prefix = format!("{}/", pointer(field));
        let (items, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut refusal.problem.fields)
            .into_iter()
            .partition(|fault: &FieldFault| fault.pointer.starts_with(&prefix));
        refusal.problem.fields = rest;
        let said = items.iter().map(|fault| {
            let number = fault.pointer[prefix.len()..].parse::<usize>().map_or(0, |at| at + 1);
            format!("number {number} {}", fault.bare())
        });
        let said = said.collect::<Vec<_>>().join("; ");
        if !said.is_empty() {
            refusal.problem.fields.push(FieldFault::new(pointer(field), said));
        }
    }
    if refusal.code == Code::DestinationForbidden
        && refusal.fields.is_empty()
        && let Some(field) = fields().find(|field| field.url)
    {
        let message = refusal.message.clone();
        refusal.problem.fields = vec![FieldFault::new(pointer(field), message)];
    }
    refusal.into()
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn what_is_typed_becomes_a_body() {
        let form = "kind=email&name=SOC&email_to=a%40x.com%0D%0Ab%40x.com%2C+c%40x.com&slack_url=https%3A%2F%2Fx&forward=only&events=down&active=on";
        let body = Draft::typed(Form::parse(form.as_bytes())).body(None);
        assert_eq!(
            body,
            json!({
                "kind": "email", "name": "SOC", "events": ["down"], "active": true,
                "config": { "to": ["a@x.com", "b@x.com", "c@x.com"] },
            })
        );
        let all = Draft::typed(Form::parse(b"kind=slack&slack_url=&forward=all&events=down")).body(None);
        assert_eq!(
            (all["events"].as_array().unwrap().len(), &all["config"], &all["active"]),
            (9, &json!({}), &json!(false))
        );
    }

    #[test]
    fn a_fault_of_an_item_stands_beside_its_list() {
        let mut refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Code::Invalid, "x");
        refusal.problem.fields = vec![
            FieldFault::new("/config/to/1", "is no e-mail address"),
            FieldFault::new("/config/to/3", "is no e-mail address"),
        ];
        let told = faults("email", refusal).of("/config/to");
        assert_eq!(told.as_deref(), Some("Number 2 is no e-mail address; number 4 is no e-mail address."));
    }
}
