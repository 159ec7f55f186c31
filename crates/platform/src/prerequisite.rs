//! The set-up steps of a connector, for the person who administers the SIEM: an index, a credential with its rights, an opening in the firewall.
//! Each platform's folder has its own steps; commands are filled in for one connector.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use toktra_siem_core::connector::{Credentials, Settings};
use url::Url;

use crate::registry::Registry;
use crate::reproduce::Via;

/// One thing that has to be done at the SIEM, or on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prerequisite {
    /// What, in a few words.
    pub title: String,
    /// How, in whole sentences.
    pub text: String,
    /// Commands or settings that do it, as they are pasted.
    pub commands: Option<String>,
}

impl Prerequisite {
    /// What is done by hand.
    pub fn new(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { title: title.into(), text: text.into(), commands: None }
    }

    /// The same with what does it.
    #[must_use]
    pub fn with(self, commands: impl Into<String>) -> Self {
        Self { commands: Some(commands.into()), ..self }
    }
}

impl Registry {
    /// What has to be there before a connector with these settings works, in the order in which it is done; the way through the firewall at last.
    /// `addresses` are those that requests come from, as far
    /// as they are known; `via` tells which proxy a URL is reached through.
    pub fn prerequisites(
        &self,
        settings: &Settings,
        credentials: &Credentials,
        addresses: &[String],
        via: impl Fn(&str) -> Option<Via>,
    ) -> Vec<Prerequisite> {
        let Some(platform) = self.get(settings.platform) else { return Vec::new() };
        let mut all = platform.prerequisites(&settings.config);
        if settings.text("tls_client_cert").is_some() {
            all.push(Prerequisite::new(
                "Accept the client certificate",
                "The connector shows this certificate in the TLS handshake. Let the receiver accept it, or the authority that issued it.",
            ).with(settings.text("tls_client_cert").unwrap_or_default().trim_end()));
        }
        let targets = self.targets(settings, credentials);
        all.extend(firewall(&targets, addresses, via));
        all
    }

    /// The same in one text, to be sent to whoever administers the SIEM.
    pub fn letter(&self, settings: &Settings, all: &[Prerequisite]) -> String {
        let Some(platform) = self.get(settings.platform) else { return String::new() };
        let (descriptor, receiver) = (platform.descriptor(), platform.receiver(&settings.config));
        // A dialect names another receiver than the one that the platform usually leads to.
        let to = if receiver == descriptor.label { descriptor.leads_to } else { receiver };
        let place = platform.place(&settings.config);
        let place = if place.is_empty() { String::new() } else { format!(" ({place})") };
        let mut text = format!("Toktra SIEM will send security events to {to}{place}. It needs:\n");
        for (at, one) in all.iter().enumerate() {
            let _ = write!(text, "\n{}. {}\n{}\n", at + 1, one.title, one.text);
            if let Some(commands) = &one.commands {
                text.push('\n');
                for line in commands.lines() {
                    let _ = writeln!(text, "    {line}");
                }
            }
        }
        text.push_str("\nPlease send back:\n");
        for need in platform.sent_back(&settings.config) {
            let _ = writeln!(text, "- {need}");
        }
        text.push_str("Share secrets through a password manager or another private channel.\n");
        text
    }
}

/// The way through the firewall, for every target.
fn firewall(targets: &[Url], addresses: &[String], via: impl Fn(&str) -> Option<Via>) -> Option<Prerequisite> {
    let mut lines: Vec<String> = Vec::new();
    let mut by_proxy = false;
    for url in targets {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { continue };
        let from = match via(url.as_str()) {
            Some(via) => {
                by_proxy = true;
                format!("the proxy {}", via.address)
            }
            None if addresses.is_empty() => "the machine where Toktra SIEM runs".to_owned(),
            None => addresses.join(", "),
        };
        let line = format!("from {from} to {host}, TCP port {port}");
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let text = match (addresses.is_empty(), by_proxy) {
        (_, true) => "Requests come from the proxy: permit what it dials.",
        (false, false) => "Permit these connections.",
        (true, false) => "Permit these connections. Ask whoever runs Toktra SIEM which address your firewall sees.",
    };
    (!lines.is_empty()).then(|| Prerequisite::new("Open the firewall", text).with(lines.join("\n")))
}

/// A text of the settings.
pub(crate) fn text<'c>(config: &'c Map<String, Value>, name: &str) -> &'c str {
    config.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use toktra_siem_core::ids::PlatformId;

    use super::*;

    fn settings(platform: &str, config: &Value) -> Settings {
        Registry::standard().parse_partly(PlatformId::new(platform).unwrap(), config).unwrap()
    }

    fn all(platform: &str, config: &Value, addresses: &[String], via: Option<&Via>) -> (Vec<Prerequisite>, String) {
        let (registry, settings) = (Registry::standard(), settings(platform, config));
        let all = registry.prerequisites(&settings, &Credentials::none(), addresses, |_| via.cloned());
        let letter = registry.letter(&settings, &all);
        (all, letter)
    }

    #[test]
    fn commands_are_filled_in_for_the_connector() {
        let (all, letter) = all(
            "splunk",
            &json!({ "hec_url": "https://hec.acme.example:8088", "index": "it's mine", "indexer_ack": true }),
            &["203.0.113.7".to_owned(), "198.51.100.0/28".to_owned()],
            None,
        );
        let commands: Vec<&str> = all.iter().filter_map(|one| one.commands.as_deref()).collect();
        assert_eq!(commands[0], r#""$SPLUNK_HOME/bin/splunk" add index 'it'\''s mine'"#);
        assert!(commands[1].contains("https://hec.acme.example:8089/servicesNS/"), "{}", commands[1]);
        assert!(commands[1].contains(r"'index=it'\''s mine'") && commands[1].ends_with("useACK=1"), "{}", commands[1]);
        // As the documentation has them.
        let documented = include_str!("../../../docs/splunk.md");
        for file in commands[2].split("\n\n") {
            let lines = file.split_once('\n').unwrap().1;
            assert!(documented.contains(&format!("```text\n{lines}\n```")), "{lines}");
        }
        assert_eq!(commands[3], "from 203.0.113.7, 198.51.100.0/28 to hec.acme.example, TCP port 8088");
        for part in
            ["Splunk's HTTP Event Collector (hec.acme.example", "1. Make the index it's mine", "Please send back"]
        {
            assert!(letter.contains(part), "{part}: {letter}");
        }
    }

    /// What the documentation asks for is what the command makes.
    #[test]
    fn the_api_key_has_the_rights_that_are_documented_and_no_others() {
        let documented = include_str!("../../../docs/elasticsearch.md");
        let json = documented.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let (all, _) = all("elasticsearch", &json!({ "url": "https://es.acme.example:9200" }), &[], None);
        let command = all[0].commands.as_deref().unwrap();
        assert!(command.contains("'https://es.acme.example:9200/_security/api_key'"), "{command}");
        let body = command.split("-d '").nth(1).and_then(|rest| rest.strip_suffix('\'')).unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["role_descriptors"], serde_json::from_str::<Value>(json).unwrap());
        // Where they go and who keeps the template decide.
        let config = json!({ "url": "https://es:9200", "data_stream": "prod", "manage_template": false, "username": "toktra", "password": "x" });
        let text = self::all("elasticsearch", &config, &[], None).1;
        assert!(text.contains("\"logs-toktra.siem-prod\"") && !text.contains("manage_index_templates\""), "{text}");
        assert!(text.contains("/_security/user/toktra") && text.contains("Apply the index template logs-toktra.siem"));
    }

    /// An administrator runs them with rights of their own.
    #[test]
    fn a_name_is_one_segment_of_an_address_and_no_password_is_made_up() {
        let config = json!({ "url": "https://es:9200/es", "username": "a/../../_cluster/settings?x{y}", "password": "hunter2hunter2" });
        let (all, letter) = all("elasticsearch", &config, &[], None);
        let commands: String = all.iter().filter_map(|one| one.commands.clone()).collect();
        let name = "a%2F..%2F..%2F_cluster%2Fsettings%3Fx%7By%7D";
        for path in [format!("/es/_security/user/{name}'"), format!("/api/internalusers/{name}'")] {
            assert!(commands.contains(&path), "{path}: {commands}");
        }
        let leads_elsewhere = commands.lines().any(|line| line.starts_with("curl") && line.contains("/_cluster/"));
        assert!(!letter.contains("hunter2") && !leads_elsewhere, "{letter}");
        assert_eq!(commands.matches("curl ").count(), commands.matches("curl --globoff ").count());
        assert_eq!(commands.matches("\"password\": \"").count(), commands.matches("${PASSWORD:?").count());
    }

    #[test]
    fn before_anything_is_known_what_is_open_is_left_open_and_a_proxy_is_named() {
        let registry = Registry::standard();
        for id in registry.ids() {
            let (all, letter) = all(id.as_str(), &json!({}), &[], None);
            assert!(!all.is_empty() && letter.contains(registry.descriptor(id).unwrap().leads_to), "{letter}");
        }
        let via = Via { address: "proxy.acme.example:3128".to_owned(), logs_in: true };
        let (all, _) = all("datadog", &json!({ "site": "datadoghq.eu" }), &[], Some(&via));
        let firewall = all.last().unwrap().commands.as_deref().unwrap();
        let lines = ["http-intake.logs.datadoghq.eu", "api.datadoghq.eu"];
        let lines = lines.map(|host| format!("from the proxy proxy.acme.example:3128 to {host}, TCP port 443"));
        assert_eq!(firewall, lines.join("\n"));
        let letter = self::all("splunk", &json!({ "dialect": "cribl" }), &[], None).1;
        assert!(letter.contains("Cribl") && !letter.contains("Splunk's HTTP"), "{letter}");
        let half = json!({ "search": { "url": "https://splunk.acme.example:8089" } });
        registry.parse_partly(PlatformId::fixed("splunk"), &half).unwrap();
        // What is missing is no fault, what is wrong is.
        let wrong = registry.parse_partly(PlatformId::fixed("datadog"), &json!({ "site": "nowhere" })).unwrap_err();
        assert_eq!((wrong.len(), wrong[0].pointer.as_str()), (1, "/config/site"));
        registry.parse_partly(PlatformId::fixed("datadog"), &json!({ "sit": "x" })).unwrap_err();
    }
}
