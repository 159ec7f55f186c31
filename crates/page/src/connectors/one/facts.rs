//! The settings of a connector as facts, for people. What a platform's settings are called, and how they are told, its folder says.

use serde_json::{Value, json};
use toktra_siem_core::filter::Filter;
use toktra_siem_platform::facts::{self, Told};
use toktra_siem_platform::view::SecretView as Secret;
use toktra_siem_platform::{Registry, group};
use toktra_siem_wire::Connector;

use crate::show::{self, Html};
use crate::words;

/// A setting: what it is called, and what it is.
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) value: Html,
}

fn text(name: &str, value: &str) -> Fact {
    Fact { name: name.to_owned(), value: Html::text(value) }
}

/// What is told of a secret: that it is set, and how it ends.
pub(super) fn told(secret: &Secret) -> String {
    match secret {
        Secret { set: false, .. } => "Not set".to_owned(),
        Secret { usable: Some(false), .. } => {
            "Set, but it does not open: the encryption key is another. Enter it again.".to_owned()
        }
        Secret { source: Some(source), .. } => format!("Set by {source} in the environment"),
        Secret { .. } => secret.told().map_or_else(|| "Set".to_owned(), |told| format!("Set, {told}")),
    }
}

/// Where events go, in a word that its people know: a host, or a site.
pub(super) fn place(registry: &Registry, connector: &Connector) -> String {
    registry
        .get(connector.settings.platform)
        .map(|platform| platform.place(&connector.settings.config))
        .unwrap_or_default()
}

/// Every setting in the order of the form.
pub(super) fn of(registry: &Registry, connector: &Connector) -> Vec<Fact> {
    let config = &connector.settings.config;
    let told = |fact: facts::Fact| match fact.value {
        Told::Code(value) => Some(Fact { name: fact.name.to_owned(), value: show::id(&value) }),
        Told::Text(value) => Some(text(fact.name, &value)),
        Told::Secret(member) => {
            let secret: Secret = serde_json::from_value(group::member(config, member)?.clone()).ok()?;
            Some(text(fact.name, &self::told(&secret)))
        }
    };
    let mut facts: Vec<Fact> = match registry.get(connector.settings.platform) {
        Some(platform) => platform.facts(config).into_iter().filter_map(told).collect(),
        None => unknown(registry, connector),
    };
    let streams = registry.descriptor(connector.settings.platform).map_or(1, |platform| platform.streams.len());
    facts.extend(of_all(connector, streams));
    facts.push(text("Filter", &filter(&connector.filter)));
    facts
}

/// What is there of a platform that this version does not know: what the store holds, under its names.
fn unknown(registry: &Registry, connector: &Connector) -> Vec<Fact> {
    let why = format!(
        "“{}” is not known to this version: its events wait until one that knows it runs.",
        connector.settings.platform
    );
    let common = |name: &str| registry.common().iter().any(|field| field.name == name);
    let stored = connector.settings.config.iter().filter(|(name, _)| !common(name));
    let told = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    std::iter::once(text("Platform", &why)).chain(stored.map(|(name, value)| text(name, &told(value)))).collect()
}

fn of_all(connector: &Connector, streams: usize) -> Vec<Fact> {
    let config = &connector.settings.config;
    let compression = if config.get("compression") == Some(&json!("gzip")) {
        "gzip; the signature covers the compressed bytes"
    } else {
        "None"
    };
    let trust = match (config.get("tls_fingerprint").and_then(Value::as_str), config.contains_key("tls_ca")) {
        (Some(pins), _) => {
            format!("The certificate with the SHA-256 fingerprint {}, and no other", pins.replace(',', " or "))
        }
        (None, true) => "Your own certificates, instead of the public certificate authorities".to_owned(),
        (None, false) => "The public certificate authorities".to_owned(),
    };
    let name = config.get("tls_server_name").and_then(Value::as_str);
    let trust = name.map_or(trust.clone(), |name| format!("{trust}; for the server name {name}"));
    let each = if streams > 1 { " for each stream" } else { "" };
    let most = config.get("max_in_flight").and_then(Value::as_u64).unwrap_or_default();
    let most = format!("Up to {} at once{each}", show::count(most));
    let mut facts = vec![text("Compression", compression), text("Trusts", &trust)];
    facts.extend(config.contains_key("tls_client_cert").then(|| text("Shows", "A client certificate")));
    facts.push(text("Requests", &most));
    facts
}

/// A filter in a sentence.
pub(super) fn filter(filter: &Filter) -> String {
    let severities: Vec<String> =
        filter.severity.iter().map(|severity| words::severity(*severity).to_lowercase()).collect();
    let types: Vec<String> = filter.event_types.iter().map(|of| words::event_type(*of).to_lowercase()).collect();
    if severities.is_empty() && types.is_empty() {
        return "All events".to_owned();
    }
    let mut parts = Vec::new();
    if !severities.is_empty() {
        parts.push(format!("of severity {}", either(&severities)));
    }
    if !types.is_empty() {
        parts.push(format!("of type {}", either(&types)));
    }
    format!("Events {}", parts.join(" and "))
}

fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::tests::of_platform;

    fn shown(connector: &Connector) -> String {
        let line = |fact: &Fact| {
            let value = fact.value.as_str();
            let code =
                value.split_once("<code>").and_then(|(_, rest)| rest.split_once("</code>")).map(|(code, _)| code);
            format!("{}: {}", fact.name, code.unwrap_or(value))
        };
        let facts: Vec<String> = of(&Registry::standard(), connector).iter().map(line).collect();
        format!("{}\n{}", place(&Registry::standard(), connector), facts.join("\n"))
    }

    #[test]
    fn every_setting_of_every_platform_is_told() {
        let secret = json!({"set": true, "hint": "…4444"});
        let common = |mut config: serde_json::Value| {
            config["compression"] = json!("gzip");
            config["max_in_flight"] = json!(4);
            config
        };
        let splunk = common(json!({
            "hec_url": "https://siem.example:8088", "hec_token": secret, "index": "main", "sourcetype": "toktra", "indexer_ack": false,
            "tls_ca": "-----BEGIN",
        }));
        let datadog = common(json!({
            "api_key": secret, "site": "datadoghq.eu", "service": "toktra", "send_metrics": true, "metric_prefix": "toktra.security",
        }));
        let elastic = common(json!({
            "cloud_id": "prod:ZXU=", "username": "writer", "password": {"set": true}, "index_prefix": "toktra", "manage_template": true,
        }));
        let all = [("splunk", splunk), ("datadog", datadog), ("elasticsearch", elastic)];
        let all = all.map(|(platform, config)| shown(&of_platform("Prod", platform, &config)));
        insta::assert_snapshot!(all.join("\n\n"));
    }

    #[test]
    fn a_secret_is_told_by_how_it_ends() {
        let secret = |value| told(&serde_json::from_value(value).unwrap());
        assert_eq!(secret(json!({"set": false})), "Not set");
        assert_eq!(secret(json!({"set": true})), "Set");
        assert_eq!(secret(json!({"set": true, "hint": "…4444"})), "Set, ends in …4444");
        assert_eq!(
            secret(json!({"set": true, "source": "SIEM_SIGNING_SECRET"})),
            "Set by SIEM_SIGNING_SECRET in the environment"
        );
        assert!(secret(json!({"set": true, "usable": false})).contains("Enter it again"));
    }

    #[test]
    fn a_filter_is_a_sentence() {
        let told = |value| filter(&serde_json::from_value(value).unwrap());
        assert_eq!(told(json!({})), "All events");
        assert_eq!(
            told(json!({"severity": ["high"], "event_types": ["policy_violation", "anomaly", "lockout"]})),
            "Events of severity high and of type policy violation, anomaly or lockout"
        );
        assert_eq!(told(json!({"event_types": ["lockout", "heartbeat"]})), "Events of type lockout or heartbeat");
    }
}
