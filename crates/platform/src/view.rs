//! A connector's settings and secrets as answers show them: every setting, and of each secret that it is set.

use std::borrow::Cow;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use toktra_siem_core::connector::Settings;
use toktra_siem_core::ids::PlatformId;

use crate::group;
use crate::registry::Registry;

/// Secrets from this length on are hinted at by their last four characters; of a shorter one that would tell too much.
const HINTED: usize = 12;

/// A secret. It is write-only: an answer says whether it is set, and how it ends.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Secret"))]
pub struct SecretView {
    /// Whether there is one.
    pub set: bool,
    /// Its last four characters, after an ellipsis; of headers their names, each with such an end. Not there where the secret is so short
    /// that they would tell too much.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(example = &"…4444"))]
    pub hint: Option<String>,
    /// Of a URL that is a secret: its scheme, host and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(example = &"https://hooks.example"))]
    pub origin: Option<String>,
    /// The secret itself, in the one answer that made it. It is not shown again.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "shown", deserialize_with = "read")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub value: Option<SecretString>,
    /// The environment variable that it comes from, where it is not the connector's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(example = &"SIEM_SIGNING_SECRET"))]
    pub source: Option<Cow<'static, str>>,
    /// `false` where the stored secret cannot be opened, because the encryption key is another: enter it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usable: Option<bool>,
}

#[expect(clippy::ref_option, reason = "serde hands the field over as it is")]
fn shown<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

impl SecretView {
    /// That it is set, and how it ends.
    pub fn of(secret: &SecretString) -> Self {
        let characters: Vec<char> = secret.expose_secret().chars().collect();
        // How PEM ends tells nothing.
        let long = characters.len() >= HINTED && !secret.expose_secret().starts_with("-----BEGIN");
        let hint = long.then(|| {
            characters[characters.len() - 4..]
                .iter()
                .fold("…".to_owned(), |hint, c| hint + c.encode_utf8(&mut [0; 4]))
        });
        Self { set: true, hint, ..Self::default() }
    }

    /// The same in a sentence: `ends in …4444`, or the names of headers; `None` where nothing may be told.
    pub fn told(&self) -> Option<String> {
        let end =
            self.hint.as_ref().map(|hint| if hint.starts_with('…') { format!("ends in {hint}") } else { hint.clone() });
        match (&self.origin, end) {
            (Some(origin), Some(end)) => Some(format!("{origin}, {end}")),
            (origin, end) => end.or_else(|| origin.clone()),
        }
    }

    /// A secret that was just made: shown in this one answer, and never again.
    pub fn once(secret: &SecretString) -> Self {
        Self { value: Some(secret.clone()), ..Self::of(secret) }
    }
}

/// A connector's platform and settings: every setting that is there, and of each secret that it is set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SettingsView {
    /// Which platform.
    pub platform: PlatformId,
    /// Its settings, each under its name.
    pub config: Map<String, Value>,
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for SettingsView {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Settings".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // Whoever writes the document knows the platforms: the mark gives way to them.
        schemars::json_schema!({ "oneOf": [{ "x-platforms": "view" }] })
    }
}

impl SettingsView {
    /// The settings, with what `secret` says of the secret of each name. Of a platform that is not there, everything that is stored is shown.
    pub fn of(registry: &Registry, settings: &Settings, secret: impl Fn(&str) -> Option<SecretView>) -> Self {
        let platform = settings.platform;
        let mut config = settings.config.clone();
        config.insert("compression".to_owned(), json!(settings.compression));
        config.insert("max_in_flight".to_owned(), json!(settings.max_in_flight));
        for field in registry.fields(platform) {
            if let Some(shares) = field.shares
                && config.contains_key(field.name)
            {
                // What it was made of is shown, not what was made of it.
                config.remove(shares.with);
            }
            if field.is_secret() {
                // What may be known of the secret is said by its view.
                config.remove(field.name);
                config.extend(secret(field.name).map(|view| (field.name.to_owned(), json!(view))));
            }
        }
        Self { platform, config: group::nested(config) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(view: &SecretView) -> Value {
        serde_json::to_value(view).unwrap()
    }

    #[test]
    fn a_secret_is_hinted_at_and_a_short_one_not_even_that() {
        assert_eq!(shown(&SecretView::of(&"0123456789ab".into())), json!({"set": true, "hint": "…89ab"}));
        assert_eq!(shown(&SecretView::of(&"0123456789a".into())), json!({"set": true}));
        assert_eq!(shown(&SecretView::of(&"-----BEGIN PRIVATE KEY-----\nAAEC\n".into())), json!({"set": true}));
        let once = SecretView::once(&"0123456789ab".into());
        assert_eq!(shown(&once)["value"], "0123456789ab");
        assert!(!format!("{once:?}").contains("0123"));
    }
}
