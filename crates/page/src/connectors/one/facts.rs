//! The settings of a connector as facts, for people.

use toktra_siem_core::connector::Compression;
use toktra_siem_core::filter::Filter;

use super::model::{Common, Connector, Datadog, Elasticsearch, Secret, Settings, Splunk};
use crate::show::{self, Html};
use crate::words;

/// A setting: what it is called, and what it is.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: Html,
}

fn text(name: &'static str, value: &str) -> Fact {
    Fact { name, value: Html::text(value) }
}

/// Something that stands like this elsewhere as well, and may be copied.
fn code(name: &'static str, value: &str) -> Fact {
    Fact { name, value: show::id(&value) }
}

fn secret(name: &'static str, secret: Option<&Secret>) -> Option<Fact> {
    secret.map(|secret| text(name, &told(secret)))
}

/// What is told of a secret: that it is set, and how it ends.
pub(super) fn told(secret: &Secret) -> String {
    match secret {
        Secret { set: false, .. } => "Not set".to_owned(),
        Secret { usable: Some(false), .. } => {
            "Set, but it does not open: the encryption key is another. Enter it again.".to_owned()
        }
        Secret { source: Some(source), .. } => format!("Set by {source} in the environment"),
        Secret { hint: Some(hint), .. } => format!("Set, ends in {hint}"),
        Secret { .. } => "Set".to_owned(),
    }
}

/// Where events go, in a word that its people know: a host, or a site.
pub(super) fn place(settings: &Settings) -> String {
    let host = |url: &str| {
        let url = url::Url::parse(url).ok();
        let host = url.as_ref().and_then(|url| url.host_str().map(|host| (host.to_owned(), url.port())));
        host.map(|(host, port)| port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
    };
    match settings {
        Settings::Splunk(splunk) => host(&splunk.hec_url).unwrap_or_else(|| splunk.hec_url.clone()),
        Settings::Datadog(datadog) => datadog.url.as_deref().and_then(host).unwrap_or_else(|| datadog.site.clone()),
        Settings::Elasticsearch(elastic) => {
            let named = elastic.cloud_id.as_deref().map(|id| id.split(':').next().unwrap_or(id).to_owned());
            elastic.url.as_deref().and_then(host).or(named).unwrap_or_default()
        }
    }
}

/// Every setting in the order of the form.
pub(super) fn of(connector: &Connector) -> Vec<Fact> {
    let (mut facts, common) = match &connector.settings {
        Settings::Splunk(splunk) => (of_splunk(splunk), &splunk.common),
        Settings::Datadog(datadog) => (of_datadog(datadog), &datadog.common),
        Settings::Elasticsearch(elastic) => (of_elasticsearch(elastic), &elastic.common),
    };
    facts.extend(of_all(common, connector.platform().streams().len()));
    facts.push(text("Filter", &filter(&connector.filter)));
    facts
}

fn of_splunk(splunk: &Splunk) -> Vec<Fact> {
    let mut facts = vec![code("HEC URL", &splunk.hec_url)];
    facts.extend(secret("HEC token", splunk.hec_token.as_ref()));
    facts.push(code("Index", &splunk.index));
    facts.push(code("Sourcetype", &splunk.sourcetype));
    let ack = if splunk.indexer_ack {
        "An event counts as delivered once Splunk has indexed it"
    } else {
        "Not awaited: an event counts as delivered once Splunk has taken it"
    };
    facts.push(text("Indexer acknowledgement", ack));
    facts
}

fn of_datadog(datadog: &Datadog) -> Vec<Fact> {
    let mut facts = vec![match &datadog.url {
        Some(url) => code("URL", url),
        None => code("Site", &datadog.site),
    }];
    facts.extend(secret("API key", datadog.api_key.as_ref()));
    facts.push(code("Service", &datadog.service));
    facts.push(if datadog.send_metrics {
        code("Metric", &format!("{}.events", datadog.metric_prefix))
    } else {
        text("Metric", "Not sent")
    });
    facts
}

fn of_elasticsearch(elastic: &Elasticsearch) -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.extend(elastic.url.as_deref().map(|url| code("URL", url)));
    facts.extend(elastic.cloud_id.as_deref().map(|id| code("Cloud id", id)));
    facts.extend(secret("API key", elastic.api_key.as_ref()));
    facts.extend(elastic.username.as_deref().map(|name| text("User name", name)));
    facts.extend(secret("Password", elastic.password.as_ref()));
    facts.push(code("Daily indices", &format!("{}-YYYY.MM.DD", elastic.index_prefix)));
    let template = if elastic.manage_template {
        "Put in place before the first delivery"
    } else {
        "Left to you: it is not put in place by itself"
    };
    facts.push(text("Index template", template));
    facts
}

fn of_all(common: &Common, streams: usize) -> Vec<Fact> {
    let compression = match common.compression {
        Compression::None => "None",
        Compression::Gzip => "gzip; the signature covers the compressed bytes",
    };
    let trust = if common.tls_ca.is_some() {
        "Your own certificate authority, instead of the public ones"
    } else {
        "The public certificate authorities"
    };
    let each = if streams > 1 { " for each stream" } else { "" };
    let most = format!("Up to {} at once{each}", show::count(common.max_in_flight.into()));
    vec![text("Compression", compression), text("Trusts", trust), text("Requests", &most)]
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
    format!("Events {}. Heartbeats and connector alerts are always sent.", parts.join(" and "))
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
    use serde_json::json;

    use super::*;

    fn connector(platform: &str, config: &serde_json::Value) -> Connector {
        serde_json::from_value(json!({
            "id": "0194693f-6c00-7000-8000-000000000001", "name": "Prod", "platform": platform, "config": config,
            "filter": {"severity": ["high", "critical"]}, "signing_secret": {"set": true, "hint": "…89ab"}, "active": true,
            "managed_by": "api", "revision": 3, "created_at": "2025-01-15T10:30:00.000Z", "updated_at": "2025-01-15T10:30:00.000Z",
        }))
        .unwrap()
    }

    fn shown(connector: &Connector) -> String {
        let line = |fact: &Fact| {
            let value = fact.value.as_str();
            let code =
                value.split_once("<code>").and_then(|(_, rest)| rest.split_once("</code>")).map(|(code, _)| code);
            format!("{}: {}", fact.name, code.unwrap_or(value))
        };
        let facts: Vec<String> = of(connector).iter().map(line).collect();
        format!("{}\n{}", place(&connector.settings), facts.join("\n"))
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
        let all = all.map(|(platform, config)| shown(&connector(platform, &config)));
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
            "Events of severity high and of type policy violation, anomaly or lockout. Heartbeats and connector alerts are always sent."
        );
    }
}
