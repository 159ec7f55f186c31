//! What an administrator of Splunk does before a connector works.
//!
//! Facts: Splunk's documentation, "Set up and use HTTP Event Collector with configuration files" and "Create an HEC token using the REST API"
//! (`data/inputs/http` of the app `splunk_httpinput`), "props.conf".

use serde_json::{Map, Value};
use url::Url;

use crate::prerequisite::{Prerequisite, text};
use crate::reproduce::quoted;
use crate::splunk::dialect::Dialect;

/// All of it, for these settings.
pub(super) fn of(config: &Map<String, Value>) -> Vec<Prerequisite> {
    let dialect = Dialect::of(config);
    if let Some(prepare) = dialect.prepare {
        return vec![Prerequisite::new(format!("Prepare {}", dialect.label()), prepare)];
    }
    let (index, sourcetype) = (text(config, "index"), text(config, "sourcetype"));
    let acknowledged = config.get("indexer_ack") == Some(&Value::Bool(true));
    let host = Url::parse(text(config, "hec_url")).ok().and_then(|url| url.host_str().map(str::to_owned));
    let host = host.unwrap_or_else(|| "<splunk-server>".to_owned());
    vec![
        Prerequisite::new(
            format!("Make the index {index}"),
            "In Splunk: Settings → Indexes → New Index. Or on the server (in a cluster: in indexes.conf on the manager node):",
        )
        .with(format!("\"$SPLUNK_HOME/bin/splunk\" add index {}", quoted(index))),
        Prerequisite::new(
            "Make a HEC token",
            format!(
                "In Splunk: Settings → Data inputs → HTTP Event Collector. Global Settings → All Tokens: Enabled. Then New Token; its allowed \
                 index is {index} alone, and “Enable indexer acknowledgement” is {}. Or through the management port, which answers with \
                 the token:",
                if acknowledged { "ticked" } else { "not ticked" }
            ),
        )
        .with(format!(
            "curl --user admin {} \\\n  --data name=toktra-siem --data-urlencode {} --data-urlencode {} \\\n  --data-urlencode {} --data \
             useACK={}",
            quoted(&format!(
                "https://{host}:8089/servicesNS/nobody/splunk_httpinput/data/inputs/http?output_mode=json"
            )),
            quoted(&format!("index={index}")),
            quoted(&format!("indexes={index}")),
            quoted(&format!("sourcetype={sourcetype}")),
            u8::from(acknowledged)
        )),
        Prerequisite::new(
            "Have the events read as JSON",
            "In props.conf on the search heads and on the server that takes HEC. Without it Splunk finds no fields behind the first 10,000 \
             characters of an event.",
        )
        .with(format!("[{sourcetype}]\nKV_MODE = json\nTRUNCATE = 0")),
    ]
}
