//! Finding an event in Datadog, through its logs search.
//!
//! Facts: Datadog's API reference, "Search logs (POST)": `POST https://api.<site>/api/v2/logs/events/search`, which needs an application key
//! with the permission `logs_read_data` beside the API key, and answers `{"data":[…]}`. Its table of sites names the pages of each:
//! `app.datadoghq.com`, `app.datadoghq.eu` and `app.ddog-gov.com`, elsewhere the site itself.

use secrecy::SecretString;
use serde_json::{Value, json};
use toktra_siem_core::ids::EventId;
use toktra_siem_core::time::Timestamp;

use super::intake::Config;
use crate::body;
use crate::descriptor::{Checked, Field, Step};
use crate::destination::{HeaderText, Method, OutboundRequest, Reply};
use crate::reply::Endpoint;
use crate::search::{self, Lookup, Sighting, Span};

/// The application key.
pub(super) const KEY: &str = "search.application_key";

/// The settings.
pub(super) fn fields() -> [Field; 2] {
    [
        search::web_url(web_url)
            .help("The address of Datadog's pages, to which links to events lead; by default it follows from the site. It is never dialled.")
            .hint("Only for an organization with an address of its own, such as https://acme.datadoghq.com; else it follows from the site."),
        Field::secret(KEY, "Application key, for searching")
            .step(Step::Advanced)
            .help("An application key with the permission logs_read_data: a test delivery searches with it until the event is found.")
            .hint(
                "In Datadog: Organization Settings → Application Keys → New Key, with the scope logs_read_data. With it, a test delivery waits \
                 until its event is found, and says how long that took. Nothing else uses it.",
            ),
    ]
}

fn web_url(text: &str) -> Checked {
    search::web(text, |path| path.split("/logs").next().unwrap_or_default())
}

/// The address of a site's web pages.
pub(super) fn pages(site: &str) -> String {
    if site.matches('.').count() == 1 { format!("https://app.{site}") } else { format!("https://{site}") }
}

/// The page that shows these events.
pub(super) fn open_url(web: &str, events: &[EventId], span: Span) -> String {
    let query = format!("@event_id:{}", search::any_of(events, " OR ", ""));
    let Span { from: Timestamp(from), to: Timestamp(to) } = span;
    format!("{web}/logs?query={}&from_ts={from}&to_ts={to}&live=false", search::encoded(&query))
}

/// What is said where something else answers.
const ADDRESS: &str =
    "A proxy in between probably passes nothing but deliveries on: let POST /api/v2/logs/events/search through.";

/// Asks Datadog for events.
pub(super) struct Search {
    url: String,
    api_key: HeaderText,
    application_key: Option<HeaderText>,
}

impl Search {
    pub(super) fn new(config: &Config, api_key: &SecretString, application_key: Option<&SecretString>) -> Self {
        let base = config.url.clone().unwrap_or_else(|| format!("https://api.{}", config.site));
        Self {
            url: format!("{base}/api/v2/logs/events/search"),
            api_key: HeaderText::Secret(api_key.clone()),
            application_key: application_key.cloned().map(HeaderText::Secret),
        }
    }

    pub(super) fn look_for(&self, event: EventId, event_time: Timestamp) -> Lookup {
        let Some(application_key) = &self.application_key else {
            return Lookup::Without(
                "Give search.application_key, and a test delivery searches until it has found its event.".to_owned(),
            );
        };
        let Span { from, to } = Span::around(event_time);
        let query = json!({
            "filter": { "query": format!("@event_id:{event}"), "from": from.to_string(), "to": to.to_string() },
            "page": { "limit": 1 },
        });
        let headers = vec![
            ("dd-api-key".into(), self.api_key.clone()),
            ("dd-application-key".into(), application_key.clone()),
            ("content-type".into(), body::JSON),
        ];
        let (url, body) = (self.url.clone(), body::json(&query).into());
        Lookup::Ask {
            request: OutboundRequest { method: Method::Post, url, secret_url: false, headers, body },
            own: true,
        }
    }

    pub(super) fn seen(endpoint: &Endpoint, reply: &Reply) -> Sighting {
        const REFUSED: &str = "the key in search.application_key may not search logs. It was probably revoked, belongs to another site, or lacks \
                               the permission logs_read_data. In Datadog: Organization Settings → Application Keys.";
        if let Some(sighting) = search::by_status(endpoint, reply, REFUSED, ADDRESS) {
            return sighting;
        }
        match serde_json::from_slice::<Value>(&reply.body).ok().as_ref().and_then(|answer| answer["data"].as_array()) {
            Some(logs) if logs.is_empty() => Sighting::NotYet,
            Some(_) => Sighting::Found,
            None => {
                let why = format!("this is not the answer of its search. {ADDRESS}");
                Sighting::Unable(endpoint.cause("search_unable", reply, &why).message)
            }
        }
    }

    pub(super) fn not_found() -> String {
        "Datadog took the event, and the search did not find it. The likeliest causes: no index takes it, an index's exclusion filter or quota \
         drops it, a pipeline changes event_id, or the application key's owner may not read the logs of the index."
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_site_has_its_pages() {
        for (site, web) in [
            ("datadoghq.com", "https://app.datadoghq.com"),
            ("datadoghq.eu", "https://app.datadoghq.eu"),
            ("ddog-gov.com", "https://app.ddog-gov.com"),
            ("us3.datadoghq.com", "https://us3.datadoghq.com"),
            ("us2.ddog-gov.com", "https://us2.ddog-gov.com"),
        ] {
            assert_eq!(pages(site), web);
        }
        assert_eq!(web_url("https://acme.datadoghq.com/logs?query=x").unwrap(), "https://acme.datadoghq.com");
    }
}
