//! What an administrator of Splunk does before a connector works.
//!
//! Facts: Splunk's documentation, "Set up and use HTTP Event Collector with configuration files" and "Create an HEC token using the REST API"
//! (`data/inputs/http` of the app `splunk_httpinput`), "props.conf" and "limits.conf"; Splunk Cloud is set up in Splunk Web alone. The two files
//! are those of docs/splunk.md.

use serde_json::{Map, Value};
use url::Url;

use super::index;
use crate::prerequisite::{Prerequisite, text};
use crate::reproduce::quoted;
use crate::splunk::dialect::Dialect;

/// All of it, for these settings.
pub(super) fn of(config: &Map<String, Value>) -> Vec<Prerequisite> {
    let dialect = Dialect::of(config);
    if let Some(prepare) = dialect.prepare {
        return vec![Prerequisite::new(format!("Prepare {}", dialect.label()), prepare)];
    }
    let host = Url::parse(text(config, "hec_url")).ok().and_then(|url| url.host_str().map(str::to_owned));
    let cloud = host.as_ref().is_some_and(|host| host.ends_with(".splunkcloud.com"));
    let host = host.unwrap_or_else(|| "<splunk-server>".to_owned());
    let all = [
        index(config).map(|index| of_index(index, cloud)),
        Some(of_token(config, &host, cloud)),
        of_fields(text(config, "sourcetype"), cloud),
        Some(of_searches(config)),
    ];
    all.into_iter().flatten().collect()
}

/// What is sent back.
pub(super) fn sent_back(config: &Map<String, Value>) -> Vec<String> {
    let dialect = Dialect::of(config);
    let mut needs =
        vec!["the URL of its HTTP Event Collector, and the CA if its certificate is not publicly trusted".to_owned()];
    needs.push(match (dialect.is_splunk(), index(config)) {
        (true, Some(index)) => format!("a HEC token that may write to the index “{index}”"),
        _ => "the token, if it asks for one".to_owned(),
    });
    needs
}

fn of_index(index: &str, cloud: bool) -> Prerequisite {
    let title = format!("Make the index {index}");
    if cloud {
        return Prerequisite::new(title, "In Splunk: Settings → Indexes → New Index.");
    }
    Prerequisite::new(
        title,
        "In Splunk: Settings → Indexes → New Index. Or on the server (in a cluster: in indexes.conf on the manager node):",
    )
    .with(format!("\"$SPLUNK_HOME/bin/splunk\" add index {}", quoted(index)))
}

fn of_token(config: &Map<String, Value>, host: &str, cloud: bool) -> Prerequisite {
    let (index, sourcetype) = (index(config), text(config, "sourcetype"));
    let acknowledged = config.get("indexer_ack") == Some(&Value::Bool(true));
    let allowed = index.map_or_else(String::new, |index| format!("; its allowed index is {index} alone"));
    let ticked = if acknowledged { "ticked" } else { "not ticked" };
    let by_hand = format!(
        "In Splunk: Settings → Data inputs → HTTP Event Collector. Global Settings → All Tokens: Enabled. Then New Token{allowed}, and “Enable \
         indexer acknowledgement” is {ticked}."
    );
    if cloud {
        return Prerequisite::new("Make a HEC token", by_hand);
    }
    let mut data = vec!["--data name=toktra-siem".to_owned()];
    data.extend(index.iter().flat_map(|index| {
        ["index", "indexes"].map(|name| format!("--data-urlencode {}", quoted(&format!("{name}={index}"))))
    }));
    data.push(format!("--data-urlencode {}", quoted(&format!("sourcetype={sourcetype}"))));
    data.push(format!("--data useACK={}", u8::from(acknowledged)));
    let url = format!("https://{host}:8089/servicesNS/nobody/splunk_httpinput/data/inputs/http?output_mode=json");
    Prerequisite::new(
        "Make a HEC token",
        format!("{by_hand} Or through the management port, which asks for the administrator's password and answers with the token:"),
    )
    .with(format!("curl --globoff --user admin {} \\\n  {}", quoted(&url), data.join(" \\\n  ")))
}

/// Not for a sourcetype whose stanza would hold for others as well.
fn of_fields(sourcetype: &str, cloud: bool) -> Option<Prerequisite> {
    let own = !sourcetype.is_empty() && sourcetype != "default" && !sourcetype.contains(['[', ']']);
    (own && !cloud).then(|| {
        Prerequisite::new(
            "Keep large events whole",
            "Only if events can be larger than 10 kB: Splunk cuts them, and finds no fields behind their first 10,240 characters. In props.conf \
             where events are parsed, and in limits.conf on the search heads:",
        )
        .with(format!(
            "# props.conf\n[{sourcetype}]\nTRUNCATE = 300000\nKV_MODE = json\nSHOULD_LINEMERGE = false\n\n# limits.conf\n[kv]\nmaxchars = 300000"
        ))
    })
}

fn of_searches(config: &Map<String, Value>) -> Prerequisite {
    let index = index(config).map_or_else(String::new, |index| format!(" {index}"));
    Prerequisite::new(
        "A token for searching, if test deliveries are to find their event",
        format!(
            "In Splunk: Settings → Tokens → New Token, for a user whose role has the capability search and may search the index{index}. It \
             searches through the management port, usually 8089."
        ),
    )
}
