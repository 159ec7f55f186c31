//! The form and the API's body: what is typed becomes a body, and what is stored, or was typed, becomes what the form shows.
//!
//! A secret goes one way only. It is taken from the form into the body, and never from anywhere into what is shown.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::PlatformId;
use toktra_siem_platform::descriptor::{Field, FormChoice, Kind, Step};
use toktra_siem_platform::{Descriptor, Registry, group};
use toktra_siem_wire::Connector;

use super::fields::{self, Input};
use super::paste;
use crate::connectors::model;
use crate::form::Form;

/// What stands in the form, by the name of the input; a box that is ticked holds `on`.
#[derive(Debug, Clone, Default)]
pub struct Values(BTreeMap<String, String>);

/// An input as the form shows it.
pub struct Shown {
    /// Its name, and its id.
    pub name: String,
    /// What it is called.
    pub label: &'static str,
    /// What stands beside it.
    pub hint: &'static str,
    /// What applies where it is left empty.
    pub default: &'static str,
    /// What kind of input it is.
    pub input: &'static str,
    /// Its words, where it is a choice: each, what it is called, and what is shown beside it.
    pub choices: Vec<Word>,
    /// What stands in it.
    pub value: String,
    /// Of a secret: that it is set; of what a link filled in: that it did.
    pub told: Option<String>,
    /// What is wrong with it.
    pub fault: Option<String>,
    /// It is shown beside the word of this number only.
    pub beside: Option<usize>,
}

/// A word of a choice.
#[derive(Debug, Clone)]
pub struct Word {
    /// The id of its own input, where it has one.
    pub id: String,
    /// The word.
    pub value: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// Whether it is chosen.
    pub chosen: bool,
    /// The number of what is shown beside it.
    pub shows: Option<usize>,
}

/// What is typed to remove a secret that a connector can be without: an input that is left empty keeps it.
pub(crate) const NONE: &str = "-";

/// Whether a secret can be removed by itself.
fn removable(field: &Field) -> bool {
    field.is_secret() && !field.required && field.when.is_none()
}

/// What kind of input a setting gets. What is pasted is understood where events go.
pub fn input(field: &Field) -> &'static str {
    match field.kind {
        Kind::Choice { .. } => "select",
        Kind::Pem(_) => "textarea",
        Kind::Flag => "flag",
        Kind::Secret(_) | Kind::SecretUrl(_) => "secret",
        Kind::Headers => "headers",
        Kind::Url(_) if field.step == Step::Where => "address",
        Kind::Url(_) | Kind::Number { .. } | Kind::Text(_) => "text",
    }
}

/// A default as it stands in the form.
fn in_form(input: &Input<'_>) -> &'static str {
    match (input.field.kind, input.field.default) {
        (Kind::Flag, Some("true")) => "on",
        (Kind::Flag, _) => "",
        (_, default) => default.unwrap_or_default(),
    }
}

impl Values {
    /// Those of a new connector.
    pub fn fresh(registry: &Registry) -> Self {
        let mut values = BTreeMap::new();
        for input in fields::all(registry) {
            let default = in_form(&input).to_owned();
            values.insert(input.name, default);
        }
        for platform in registry.descriptors() {
            for choice in fields::choices(platform) {
                let first = choice.words.first().map_or("", |(word, _)| word);
                values.insert(fields::choice_name(platform, choice.name), first.to_owned());
            }
        }
        Self(values)
    }

    /// Those that were typed.
    pub fn typed(registry: &Registry, form: &Form) -> Self {
        let mut values = BTreeMap::new();
        let form = &paste::filled(registry, self::platform(registry, form.text("platform")), form);
        for platform in registry.descriptors() {
            let form = paste::applied(registry, platform.id, form);
            for input in fields::of(registry, platform.id).filter(|input| !input.field.is_secret()) {
                let flag = matches!(input.field.kind, Kind::Flag);
                let value = if flag { ticked(&form, &input.name) } else { form.text(&input.name) };
                values.insert(input.name, value.to_owned());
            }
            for choice in fields::choices(platform) {
                let name = fields::choice_name(platform, choice.name);
                let value = form.text(&name).to_owned();
                values.insert(name, value);
            }
        }
        Self(values)
    }

    /// Those of a connector that is there.
    pub fn stored(registry: &Registry, connector: &Connector) -> Self {
        let mut values = Self::fresh(registry);
        let config = &connector.settings.config;
        for input in fields::of(registry, connector.settings.platform) {
            let given = group::member(config, input.field.name);
            let value = match (input.field.kind, given) {
                _ if input.field.is_secret() => String::new(),
                (Kind::Flag, Some(Value::Bool(flag))) => if *flag { "on" } else { "" }.to_owned(),
                _ => text(input.shared().and_then(|(shared, _)| config.get(shared.name)).or(given)),
            };
            let added = input.platform.and_then(|platform| {
                let name = input.field.name;
                chosen(platform, name, input.added(), connector)
            });
            values.0.insert(input.name, added.map_or(value, str::to_owned));
        }
        if let Some(platform) = registry.descriptor(connector.settings.platform) {
            for choice in fields::choices(platform) {
                let nothing = |word: &str| fields::beside(platform, choice.name, word).next().is_none();
                let none = choice.words.iter().map(|(word, _)| *word).find(|word| nothing(word));
                let word = chosen(platform, choice.name, choice.words, connector).or(none).unwrap_or_default();
                values.0.insert(fields::choice_name(platform, choice.name), word.to_owned());
            }
        }
        values
    }

    /// Puts a value into an input, as if it had been typed.
    pub fn fill(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// The value of an input.
    pub fn of(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// An input as it is shown, with what is stored of it and what is wrong with it.
    pub fn show(
        &self,
        input: &Input<'_>,
        stored: Option<&Connector>,
        faults: &BTreeMap<String, String>,
        shows: &Shows,
    ) -> Shown {
        let field = input.field;
        let secret = stored.and_then(|connector| model::secret(connector, field.name)).filter(|_| field.is_secret());
        let value = self.of(&input.name).to_owned();
        let own = match field.kind {
            Kind::Choice { words, .. } => words,
            _ => &[],
        };
        let word = |(word, label): &(&'static str, &'static str)| Word {
            id: String::new(),
            value: word,
            label,
            chosen: *word == value,
            shows: input.platform.and_then(|platform| shows.beside(platform, field.name, word)),
        };
        Shown {
            name: input.name.clone(),
            label: field.label,
            hint: if field.hint.is_empty() { field.help } else { field.hint },
            default: if input.may_be_absent(|name| self.of(name)) { "" } else { in_form(input) },
            input: self::input(field),
            choices: own.iter().chain(input.added()).map(word).collect(),
            told: secret
                .as_ref()
                .and_then(model::told)
                .map(|told| if removable(field) { format!("{told} A hyphen alone (-) removes it.") } else { told }),
            fault: faults.get(&input.name).cloned(),
            beside: input
                .platform
                .zip(field.when)
                .and_then(|(platform, when)| shows.beside(platform, when.choice, when.word)),
            value,
        }
    }

    /// The words of a choice that is no setting.
    pub fn words(&self, platform: &Descriptor, choice: &FormChoice, shows: &Shows) -> Vec<Word> {
        let name = fields::choice_name(platform, choice.name);
        let word = |(word, label): &(&'static str, &'static str)| Word {
            id: shows.word_id(platform, choice, word),
            value: word,
            label,
            chosen: *word == self.of(&name),
            shows: shows.beside(platform, choice.name, word),
        };
        choice.words.iter().map(word).collect()
    }
}

/// The word of a choice that a connector's settings speak of: one beside which something is set that is no secret, or else a secret.
fn chosen(
    platform: &Descriptor,
    choice: &str,
    words: &[(&'static str, &'static str)],
    connector: &Connector,
) -> Option<&'static str> {
    let speaks = |word: &str, secret: bool| {
        fields::beside(platform, choice, word).any(|field| match (field.is_secret(), secret) {
            (true, true) => model::secret(connector, field.name).is_some(),
            (false, false) => connector.settings.config.contains_key(field.name),
            _ => false,
        })
    };
    let words = || words.iter().map(|(word, _)| *word);
    words().find(|word| speaks(word, false)).or_else(|| words().find(|word| speaks(word, true)))
}

/// What is shown beside which word: the style sheet knows numbers.
pub struct Shows {
    platforms: Vec<PlatformId>,
    words: Vec<(PlatformId, &'static str, &'static str)>,
    named_before: Vec<(PlatformId, &'static str)>,
}

impl Shows {
    /// The numbers of a form.
    pub fn of(registry: &Registry) -> Self {
        let mut shows = Self { platforms: registry.ids().collect(), words: Vec::new(), named_before: Vec::new() };
        let mut names: Vec<&str> = Vec::new();
        for platform in registry.descriptors() {
            for when in platform.fields.iter().filter_map(|field| field.when) {
                let key = (platform.id, when.choice, when.word);
                if !shows.words.contains(&key) {
                    shows.words.push(key);
                }
            }
            for choice in fields::choices(platform) {
                if names.contains(&choice.name) {
                    shows.named_before.push((platform.id, choice.name));
                }
                names.push(choice.name);
            }
        }
        shows
    }

    /// The number of what a platform has.
    pub fn platform(&self, platform: PlatformId) -> usize {
        1 + self.platforms.iter().position(|id| *id == platform).unwrap_or_default()
    }

    fn beside(&self, platform: &Descriptor, choice: &str, word: &str) -> Option<usize> {
        let at = self.words.iter().position(|key| *key == (platform.id, choice, word))?;
        Some(1 + self.platforms.len() + at)
    }

    /// The id of a word's own input; with the platform in front where another platform has a choice of that name.
    fn word_id(&self, platform: &Descriptor, choice: &FormChoice, word: &str) -> String {
        let plain = format!("{}-{word}", choice.name);
        if self.named_before.contains(&(platform.id, choice.name)) { format!("{}_{plain}", platform.id) } else { plain }
    }
}

fn ticked<'f>(form: &'f Form, name: &str) -> &'f str {
    if form.has(name) { "on" } else { "" }
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The platform that was chosen; the first that there is where the form names none.
pub fn platform(registry: &Registry, word: &str) -> PlatformId {
    let chosen = PlatformId::new(word).filter(|_| !word.is_empty());
    // One that is not there is the API's to refuse.
    chosen.or_else(|| registry.ids().next()).unwrap_or(PlatformId::fixed("none"))
}

/// Whether a secret was typed.
pub fn holds_secrets(registry: &Registry, form: &Form) -> bool {
    let mut secrets = fields::all(registry).filter(|input| input.field.is_secret());
    form.secret("signing_secret").is_some() || secrets.any(|input| form.secret(&input.name).is_some())
}

/// Whether all events are forwarded, whatever was ticked before that was chosen.
pub fn forwards_all(form: &Form) -> bool {
    form.text("forward") == "all"
}

/// What is wrong with the choice of events, if the API would not say so: if only some are to be forwarded and none are ticked, that would be
/// all of them to the API; and it is not told what stands beside All events.
pub fn nothing_chosen(form: &Form) -> Option<&'static str> {
    let ticked = form.has("severity") || form.has("event_types");
    let known = form.all("severity").all(|word| Severity::ALL.iter().any(|one| one.as_str() == word))
        && form.all("event_types").all(|word| EventType::ALL.iter().any(|one| one.as_str() == word));
    match form.text("forward") {
        "all" if !known => Some("This severity or event type does not exist. Load the page again, and choose anew."),
        "" | "all" => None,
        "only" if ticked => None,
        "only" => Some("Select a severity or an event type, or choose All events."),
        _ => Some("Choose All events, or Only these."),
    }
}

/// The filter that was ticked.
pub fn filter(form: &Form) -> Value {
    if forwards_all(form) {
        return json!({});
    }
    let words = |name: &'static str| form.all(name).map(str::to_owned).collect::<Vec<_>>();
    json!({ "severity": words("severity"), "event_types": words("event_types") })
}

/// The body that makes a connector, or tries its settings.
pub fn creation(registry: &Registry, form: &Form) -> Value {
    let platform = platform(registry, form.text("platform"));
    let mut body = json!({
        "name": form.text("name"),
        "platform": platform,
        "config": config(registry, platform, form, None),
        "filter": filter(form),
        "active": form.has("active"),
    });
    sign(form, &mut body);
    body
}

/// The body that makes of `stored` what was typed, but for whether it is active: a test does not change that.
pub fn change(registry: &Registry, form: &Form, stored: &Connector) -> Value {
    let mut body = json!({
        "name": form.text("name"),
        "config": config(registry, stored.settings.platform, form, Some(stored)),
        "filter": filter(form),
    });
    sign(form, &mut body);
    body
}

fn sign(form: &Form, body: &mut Value) {
    if let Some(secret) = form.secret("signing_secret") {
        body["signing_secret"] = secret.expose_secret().into();
    }
}

fn config(registry: &Registry, platform: PlatformId, form: &Form, stored: Option<&Connector>) -> Value {
    let form = paste::applied(registry, platform, &paste::filled(registry, platform, form));
    let mut config = Map::new();
    for input in fields::of(registry, platform) {
        if input.when().is_none_or(|(choice, word)| form.text(&choice) == word) {
            typed(&input, &form, stored, &mut config);
        } else if matches!(input.field.kind, Kind::Url(_)) && stored.is_some() {
            config.insert(input.field.name.to_owned(), Value::Null);
        }
    }
    if let (Some(stored), Some(platform)) = (stored, registry.descriptor(platform)) {
        for choice in fields::choices(platform) {
            let word = form.text(&fields::choice_name(platform, choice.name));
            if choice.words.iter().any(|(known, _)| *known == word)
                && fields::beside(platform, choice.name, word).next().is_none()
            {
                // What is in use is taken away; where nothing is, this says that the new place needs nothing either.
                let all =
                    || platform.fields.iter().filter(|field| field.when.is_some_and(|when| when.choice == choice.name));
                let used = all().find(|field| !field.is_secret() && stored.settings.config.contains_key(field.name));
                let used = used.or_else(|| all().find(|field| field.is_secret()));
                config.extend(used.map(|field| (field.name.to_owned(), Value::Null)));
            }
        }
    }
    Value::Object(group::nested(config))
}

fn same_lines(stored: &Connector, name: &str, text: &str) -> bool {
    let there = stored.settings.config.get(name).and_then(Value::as_str);
    there.is_some_and(|there| there.trim().lines().eq(text.trim().lines()))
}

/// What was typed into one input. Left empty, a new connector gets the default, and a stored one goes back to it.
fn typed(input: &Input<'_>, form: &Form, stored: Option<&Connector>, config: &mut Map<String, Value>) {
    let (text, field) = (form.text(&input.name), input.field);
    let free = input.may_be_absent(|name| form.text(name));
    // The default stands in the form from before the choice was made beside which it does not apply.
    let text = if free && Some(text) == field.default { "" } else { text };
    let wanted = fields::is_wanted(input) && !free;
    let member = input.shared().filter(|(_, meant)| meant(text)).map_or(field.name, |(shared, _)| shared.name);
    let value = match field.kind {
        // As it stands there, whatever it is: browsers only end its lines in another way.
        Kind::Pem(_) if stored.is_some_and(|stored| same_lines(stored, field.name, text)) => return,
        Kind::Choice { .. } if input.added().iter().any(|(word, _)| *word == text) => return,
        Kind::Headers if text.trim() == NONE && stored.is_some() => Value::Null,
        _ if field.is_secret() => match form.secret(&input.name) {
            Some(secret) if secret.expose_secret() == NONE && (removable(field) || free) && stored.is_some() => {
                Value::Null
            }
            Some(secret) => secret.expose_secret().into(),
            None if stored.is_some_and(|connector| model::secret(connector, field.name).is_some()) || !wanted => return,
            None => "".into(),
        },
        Kind::Flag => form.has(&input.name).into(),
        // What is required is sent as it is, so that the API says what has to stand there.
        _ if wanted => text.into(),
        _ if text.is_empty() && stored.is_some() => Value::Null,
        _ if text.is_empty() => return,
        Kind::Number { .. } => text.parse::<u64>().map_or_else(|_| text.into(), Value::from),
        _ => text.into(),
    };
    config.insert(member.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_events_that_means_nothing_is_no_choice_of_all() {
        let wrong = |form: &str| nothing_chosen(&Form::parse(form.as_bytes()));
        for good in
            ["", "forward=all", "forward=only&severity=high", "forward=all&severity=low", "event_types=heartbeat"]
        {
            assert_eq!(wrong(good), None, "{good}");
        }
        for bad in [
            "forward=",
            "forward=only",
            "forward=nonsense",
            "forward=most&severity=high",
            "forward=all&severity=urgent",
        ] {
            assert_eq!(wrong(bad).is_some(), bad != "forward=", "{bad}");
        }
    }
}
