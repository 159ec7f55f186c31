//! The form and the API's body: what is typed becomes a body, and what is stored, or was typed, becomes what the form shows.
//!
//! A secret goes one way only. It is taken from the form into the body, and never from anywhere into what is shown.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use toktra_siem_core::connector::Platform;

use super::fields::{self, AUTH, Field, Kind, OTHER_SITE, When};
use super::paste;
use crate::connectors::model::{Connector, Secret};
use crate::form::Form;

/// What stands in the form, by the name of the field; a box that is ticked holds `on`.
#[derive(Debug, Clone, Default)]
pub struct Values(BTreeMap<&'static str, String>);

/// A field as the form shows it.
pub struct Shown {
    /// The field.
    pub field: &'static Field,
    /// What stands in it.
    pub value: String,
    /// Of a secret: that it is set.
    pub told: Option<String>,
    /// What is wrong with it.
    pub fault: Option<String>,
}

impl Shown {
    /// The class by which it is shown beside a choice only.
    pub fn class(&self) -> &'static str {
        match self.field.when {
            None => "",
            Some(When::OtherSite) => " by-other-site",
            Some(When::ApiKey) => " by-key",
            Some(When::Password) => " by-password",
        }
    }

    /// Its choices, where it is one.
    pub fn choices(&self) -> &'static [(&'static str, &'static str)] {
        match self.field.kind {
            Kind::Choice(choices) => choices,
            Kind::Site => fields::SITES,
            _ => &[],
        }
    }

    /// What kind of input it is.
    pub fn input(&self) -> &'static str {
        match self.field.kind {
            Kind::Choice(_) | Kind::Site => "select",
            Kind::Lines => "textarea",
            Kind::Flag => "flag",
            Kind::Secret => "secret",
            Kind::Address | Kind::Cluster => "address",
            Kind::Number | Kind::Text | Kind::Required => "text",
        }
    }
}

impl Values {
    /// Those of a new connector.
    pub fn fresh() -> Self {
        let fields = Platform::ALL.into_iter().flat_map(fields::of);
        let mut values: BTreeMap<_, _> = fields.map(|field| (field.name, field.default.to_owned())).collect();
        values.insert(AUTH, "key".to_owned());
        Self(values)
    }

    /// Those that were typed.
    pub fn typed(form: &Form) -> Self {
        let mut forms = BTreeMap::new();
        for platform in Platform::ALL {
            forms.insert(platform.as_str(), paste::applied(platform, form));
        }
        let mut values = BTreeMap::new();
        for platform in Platform::ALL {
            let form = &forms[platform.as_str()];
            for field in fields::of(platform).filter(|field| field.kind != Kind::Secret) {
                let value = if field.kind == Kind::Flag { ticked(form, field.name) } else { form.text(field.name) };
                values.insert(field.name, value.to_owned());
            }
            if platform == Platform::Elasticsearch {
                values.insert(AUTH, form.text(AUTH).to_owned());
            }
        }
        Self(values)
    }

    /// Those of a connector that is there.
    pub fn stored(connector: &Connector) -> Self {
        let mut values = Self::fresh();
        let config = &connector.config;
        for field in fields::of(connector.platform) {
            let value = match (field.kind, config.get(field.member)) {
                (Kind::Secret, _) => String::new(),
                (Kind::Flag, Some(Value::Bool(flag))) => if *flag { "on" } else { "" }.to_owned(),
                (Kind::Cluster, url) => text(config.get("cloud_id").or(url)),
                (Kind::Site, _) if config.contains_key("url") => OTHER_SITE.to_owned(),
                (_, value) => text(value),
            };
            values.0.insert(field.name, value);
        }
        let auth = match (connector.secret("api_key"), config.contains_key("username")) {
            (_, true) => "password",
            (Some(_), false) => "key",
            (None, false) => "none",
        };
        values.0.insert(AUTH, auth.to_owned());
        values
    }

    /// The value of a field.
    pub fn of(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A field as it is shown, with what is stored of it and what is wrong with it.
    pub fn show(
        &self,
        field: &'static Field,
        stored: Option<&Connector>,
        faults: &BTreeMap<&'static str, String>,
    ) -> Shown {
        let secret = stored.and_then(|connector| connector.secret(field.member)).filter(|_| field.kind == Kind::Secret);
        Shown {
            field,
            value: self.of(field.name).to_owned(),
            told: secret.as_ref().and_then(Secret::told),
            fault: faults.get(field.name).cloned(),
        }
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

/// The platform that was chosen; the first one where the form names none that there is.
pub fn platform(word: &str) -> Platform {
    Platform::ALL.into_iter().find(|platform| platform.as_str() == word).unwrap_or(Platform::Splunk)
}

/// Whether a secret was typed.
pub fn holds_secrets(form: &Form) -> bool {
    let mut fields = Platform::ALL.into_iter().flat_map(fields::of).filter(|field| field.kind == Kind::Secret);
    form.secret("signing_secret").is_some() || fields.any(|field| form.secret(field.name).is_some())
}

/// The filter that was ticked.
pub fn filter(form: &Form) -> Value {
    let words = |name: &'static str| form.all(name).map(str::to_owned).collect::<Vec<_>>();
    json!({ "severity": words("severity"), "event_types": words("event_types") })
}

/// The body that makes a connector, or tries its settings.
pub fn creation(form: &Form) -> Value {
    let platform = platform(form.text("platform"));
    let mut body = json!({
        "name": form.text("name"),
        "platform": platform,
        "config": config(platform, form, None),
        "filter": filter(form),
        "active": form.has("active"),
    });
    sign(form, &mut body);
    body
}

/// The body that makes of `stored` what was typed. Whether it is switched on is not the form's.
pub fn change(form: &Form, stored: &Connector) -> Value {
    let mut body = json!({
        "name": form.text("name"),
        "config": config(stored.platform, form, Some(stored)),
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

fn config(platform: Platform, form: &Form, stored: Option<&Connector>) -> Value {
    let form = paste::applied(platform, form);
    let mut config = Map::new();
    for field in fields::of(platform) {
        let chosen = match field.when {
            None => true,
            Some(When::OtherSite) => form.text("datadog_site") == OTHER_SITE,
            Some(When::ApiKey) => form.text(AUTH) == "key",
            Some(When::Password) => form.text(AUTH) == "password",
        };
        if chosen {
            typed(field, &form, stored, &mut config);
        } else if field.kind == Kind::Address && stored.is_some() {
            config.insert(field.member.to_owned(), Value::Null);
        }
    }
    if platform == Platform::Elasticsearch
        && form.text(AUTH) == "none"
        && let Some(stored) = stored
    {
        // The one that is in use is taken away; where there is none, this says that the new place needs none either.
        let used = if stored.config.contains_key("username") { "username" } else { "api_key" };
        config.insert(used.to_owned(), Value::Null);
    }
    Value::Object(config)
}

/// What was typed into one field. Left empty, a new connector gets the default, and a stored one goes back to it.
fn typed(field: &Field, form: &Form, stored: Option<&Connector>, config: &mut Map<String, Value>) {
    let text = form.text(field.name);
    let value = match field.kind {
        Kind::Cluster => {
            let member = if paste::is_cloud_id(text) { "cloud_id" } else { "url" };
            config.insert(member.to_owned(), text.into());
            return;
        }
        Kind::Site if text == OTHER_SITE => return,
        // What is required is sent as it is, so that the API says what has to stand there.
        Kind::Address | Kind::Required => text.into(),
        Kind::Secret => match form.secret(field.name) {
            Some(secret) => secret.expose_secret().into(),
            None if stored.is_some_and(|connector| connector.secret(field.member).is_some()) => return,
            None => "".into(),
        },
        Kind::Flag => form.has(field.name).into(),
        _ if text.is_empty() && stored.is_some() => Value::Null,
        _ if text.is_empty() => return,
        Kind::Number => text.parse::<u64>().map_or_else(|_| text.into(), Value::from),
        Kind::Site | Kind::Text | Kind::Lines | Kind::Choice(_) => text.into(),
    };
    config.insert(field.member.to_owned(), value);
}
