//! Finding an event in Splunk, through the REST API of its management port.
//!
//! Facts: Splunk's REST API reference, "search/jobs": `exec_mode=oneshot` answers with the results themselves, `output_mode=json` as
//! `{"results":[…],"messages":[…]}`; "Use authentication tokens": `Authorization: Bearer <token>`. A refusal is
//! `{"messages":[{"type":"WARN","text":"call not properly authenticated"}]}` with 401. What an index holds that the role of the token may not
//! search is left out without a word.

use secrecy::SecretString;
use serde_json::Value;
use toktra_siem_core::ids::EventId;
use toktra_siem_core::time::Timestamp;
use url::form_urlencoded;

use crate::advice::bare_or_quoted;
use crate::body;
use crate::descriptor::{Checked, Field, Step};
use crate::destination::{HeaderText, Method, OutboundRequest, Reply};
use crate::endpoint;
use crate::read::{Given, Reader};
use crate::reply::Endpoint;
use crate::search::{self, Lookup, Sighting, Span};

pub(super) const URL: &str = "search.url";
pub(super) const TOKEN: &str = "search.token";

/// The settings.
pub(super) fn fields() -> [Field; 3] {
    [
        search::web_url(web_url)
            .help("The address of Splunk Web, to which links to events lead; it is never dialled.")
            .hint(
                "Such as https://splunk.company.com:8000, or any page of Splunk Web. It adds an “Open in Splunk” link to events, deliveries \
                 and test deliveries.",
            ),
        Field::url(URL, "Management URL, for searching")
            .read(management_url)
            .step(Step::Advanced)
            .help("Base URL of Splunk's management port, usually 8089: a test delivery searches there until the event is found.")
            .hint("Such as https://splunk.company.com:8089. With a token, a test delivery waits until its event is found, and says how long that took."),
        Field::secret(TOKEN, "Token, for searching")
            .step(Step::Advanced)
            .help("A Splunk authentication token that may search the index; used by test deliveries alone.")
            .hint(
                "In Splunk: Settings → Tokens → New Token, for a user whose role has the capability search and the index above. Only test \
                 deliveries use it.",
            ),
    ]
}

fn management_url(text: &str) -> Checked {
    let mut url = endpoint::parse(text)?;
    if let Some(at) = url.path().find("/services/") {
        let above = url.path()[..at].to_owned();
        url.set_path(&above);
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Splunk Web's pages begin with the language.
fn web_url(text: &str) -> Checked {
    search::web(text, |path| {
        let is_page = |at: &usize| {
            let mut parts = path[at + 1..].split('/');
            let language = parts.next().unwrap_or_default();
            (language.len() == 5 && language.as_bytes()[2] == b'-') || language == "app"
        };
        let at = path.match_indices('/').map(|(at, _)| at).find(is_page);
        &path[..at.unwrap_or(path.len())]
    })
}

/// The two go together, and the token goes with the URL.
pub(super) fn together(reader: &mut Reader<'_>) {
    if reader.faulted(URL) || reader.faulted(TOKEN) {
        return;
    }
    let (there, before) = (reader.read_text(URL).is_some(), reader.current_text(URL).is_some());
    match (there, reader.changed(TOKEN)) {
        (true, Given::Absent) if !before => reader.fault(TOKEN, "is missing: the management URL needs its token"),
        (true, Given::Reset) => {
            reader.fault(TOKEN, "is missing: the management URL needs its token; give `search` as null to remove both");
        }
        (false, Given::Value(())) => reader.fault(URL, "is missing: the token needs the management URL"),
        (false, Given::Absent) if before => reader.set_secret(TOKEN, None),
        _ => {}
    }
}

/// The page that shows these events.
pub(super) fn open_url(web: &str, index: &str, events: &[EventId], span: Span) -> String {
    let search = format!("search index={} {}", bare_or_quoted(index), search::any_of(events, " OR ", "\""));
    let (earliest, latest) = (span.from.as_secs(), span.to.as_secs());
    format!("{web}/en-US/app/search/search?q={}&earliest={earliest}&latest={latest}", search::encoded(&search))
}

/// Asks Splunk for events.
pub(super) struct Search {
    url: Option<String>,
    authorization: Option<HeaderText>,
    index: String,
}

impl Search {
    pub(super) fn new(url: Option<&str>, token: Option<&SecretString>, index: &str) -> Self {
        Self {
            url: url.map(|url| format!("{url}/services/search/jobs")),
            authorization: token.map(|token| body::authorization("Bearer", token)),
            index: index.to_owned(),
        }
    }

    /// The id as a phrase of the raw text, so that no extraction of fields has to be set up for it.
    pub(super) fn look_for(&self, event: EventId, event_time: Timestamp) -> Lookup {
        let (Some(url), Some(authorization)) = (&self.url, &self.authorization) else {
            return Lookup::Without(
                "Give search.url and search.token, and a test delivery searches until it has found its event."
                    .to_owned(),
            );
        };
        let Span { from, to } = Span::around(event_time);
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("search", &format!("search index={} \"{event}\"", bare_or_quoted(&self.index)))
            .append_pair("exec_mode", "oneshot")
            .append_pair("output_mode", "json")
            .append_pair("count", "1")
            .append_pair("earliest_time", &from.as_secs().to_string())
            .append_pair("latest_time", &to.as_secs().to_string())
            .finish();
        let headers = vec![
            ("content-type".into(), HeaderText::Plain("application/x-www-form-urlencoded".into())),
            ("authorization".into(), authorization.clone()),
        ];
        let (url, body) = (url.clone(), form.into_bytes().into());
        Lookup::Ask {
            request: OutboundRequest { method: Method::Post, url, secret_url: false, headers, body },
            own: true,
        }
    }

    pub(super) fn seen(endpoint: &Endpoint, reply: &Reply) -> Sighting {
        const REFUSED: &str = "the token in search.token may not search. It was probably revoked or has expired, or its user's role lacks the \
                               capability search. In Splunk: Settings → Tokens → New Token.";
        const ADDRESS: &str = "search.url is probably wrong: it is the address of the management port, usually 8089.";
        if let Some(sighting) = search::by_status(endpoint, reply, REFUSED, ADDRESS) {
            return sighting;
        }
        match serde_json::from_slice::<Value>(&reply.body) {
            Ok(Value::Object(answer)) if answer.contains_key("results") => {
                let found = answer["results"].as_array().is_some_and(|results| !results.is_empty());
                if found { Sighting::Found } else { Sighting::NotYet }
            }
            // A search without results may have no body.
            _ if reply.body.trim_ascii().is_empty() => Sighting::NotYet,
            _ => Sighting::Unable(
                endpoint
                    .cause("search_unable", reply, &format!("this is not the answer of its search. {ADDRESS}"))
                    .message,
            ),
        }
    }

    pub(super) fn not_found(&self) -> String {
        format!(
            "The event was taken, and Splunk's search did not find it. The likeliest causes: the token's role may not search the index “{}”, \
             a rule in between sends the event to another index, or the sourcetype's settings drop or change it.",
            self.index
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_or_a_script_shows_can_be_pasted() {
        for page in ["", "/", "/en-US/app/search/search?q=x", "/de-DE/", "/app/search"] {
            assert_eq!(web_url(&format!("https://s.example:8000{page}")).unwrap(), "https://s.example:8000");
            assert_eq!(web_url(&format!("https://s.example/splunk{page}")).unwrap(), "https://s.example/splunk");
        }
        for api in ["", "/", "/services/search/jobs"] {
            assert_eq!(management_url(&format!("https://s.example:8089{api}")).unwrap(), "https://s.example:8089");
        }
    }
}
