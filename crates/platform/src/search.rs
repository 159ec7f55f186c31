//! Finding an event where it was delivered: what a search asks there and what its reply says, the addresses that show an event to a person,
//! and the time around it.

use std::fmt::Write as _;
use std::time::Duration;

use toktra_siem_core::ids::EventId;
use toktra_siem_core::time::Timestamp;
use url::Url;

use crate::descriptor::{Checked, Field};
use crate::destination::{OutboundRequest, Reply};
use crate::endpoint;
use crate::reply::{Endpoint, is_html};

/// How a destination is asked for an event.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// Not at all: nothing can be searched there.
    Never,
    /// It could be asked, if these settings were there; a whole sentence.
    Without(String),
    /// By this request.
    Ask {
        /// Asks for the event.
        request: OutboundRequest,
        /// It is made with a credential that was given for searching. Without one, the login that delivers is tried: nobody promised that it
        /// may search, so that a refusal is no fault, and nobody waits longer for it than for the delivery.
        own: bool,
    },
}

/// What a platform answers when it is asked for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// The event is there.
    Found,
    /// It is not there, or the platform cannot say so at this moment.
    NotYet,
    /// The credential may not search, and what to grant it; whole sentences.
    Refused(String),
    /// Nothing that searches answers there; whole sentences.
    Unable(String),
}

/// What a reply says by its status alone, for a platform that `endpoint` speaks of: `refused` says what the credential lacks, `address` what
/// to look at where something else answers. `None` where its body has to be read.
pub(crate) fn by_status(endpoint: &Endpoint, reply: &Reply, refused: &str, address: &str) -> Option<Sighting> {
    Some(match reply.status {
        200..=299 if !is_html(reply) => return None,
        401 if !is_html(reply) => {
            let why = "it does not accept the credential for searching: it was probably revoked, has expired, or was entered incompletely. Enter \
                       it again, then test again.";
            Sighting::Refused(endpoint.cause("search_refused", reply, why).message)
        }
        403 if !is_html(reply) => Sighting::Refused(endpoint.cause("search_refused", reply, refused).message),
        408 | 425 | 429 | 500..=599 => Sighting::NotYet,
        _ => {
            let why = format!("this is not the answer of its search. {address}");
            Sighting::Unable(endpoint.cause("search_unable", reply, &why).message)
        }
    })
}

/// The times between which events are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The start.
    pub from: Timestamp,
    /// The end.
    pub to: Timestamp,
}

/// How far clocks may be apart, and how long an event may be on its way.
const AROUND: Duration = Duration::from_mins(15);

impl Span {
    /// What lies around this time.
    pub fn around(time: Timestamp) -> Self {
        Self { from: time.minus(AROUND), to: time.plus(AROUND) }
    }

    /// What lies around these times, if there are any: a platform may go by each of an event's times.
    pub fn over(times: impl IntoIterator<Item = Timestamp>) -> Option<Self> {
        times
            .into_iter()
            .map(Self::around)
            .reduce(|all, one| Self { from: all.from.min(one.from), to: all.to.max(one.to) })
    }
}

/// The setting `web_url`: the address of the SIEM's web pages.
pub(crate) const fn web_url(read: fn(&str) -> Checked) -> Field {
    Field::text("web_url", "Web address").read(read).limits(2048, None)
}

/// The address of pages for people, which is linked to and never dialled: scheme, host, port, and the path before the pages, which `above`
/// cuts. What a browser shows can be pasted.
pub(crate) fn web(text: &str, above: fn(&str) -> &str) -> Checked {
    let text = text.trim();
    let plain = text.split(['?', '#']).next().unwrap_or_default();
    let mut url = endpoint::whole(if plain.is_empty() { text } else { plain })?;
    let named = |c: char| c.is_ascii_alphanumeric() || "-._:[]%".contains(c);
    if !url.host_str().is_some_and(|host| host.chars().all(named)) {
        return Err("names a host that cannot be one".to_owned());
    }
    let path = above(url.path()).trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(Url::as_str(&url).trim_end_matches('/').to_owned())
}

/// Text as it stands in a query or a fragment of an address.
pub(crate) fn encoded(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing into a text cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

/// `one`, or `(one or other)`, as a search puts several values.
pub(crate) fn any_of(events: &[EventId], or: &str, quote: &str) -> String {
    let all: Vec<String> = events.iter().map(|event| format!("{quote}{event}{quote}")).collect();
    if let [one] = all.as_slice() { one.clone() } else { format!("({})", all.join(or)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_holds_every_time_and_what_is_around_it() {
        let at = |seconds: i64| Timestamp(seconds * 1000);
        assert_eq!(Span::over([]), None);
        assert_eq!(Span::over([at(5_000), at(2_000)]), Some(Span { from: at(1_100), to: at(5_900) }));
    }

    #[test]
    fn a_host_that_cannot_be_one_is_refused() {
        for host in ["k.ex\"on'mouse=alert(1)", "k.ex'x", "k.ex`id`"] {
            assert!(web(&format!("https://{host}"), |path| path).is_err(), "{host}");
        }
    }

    #[test]
    fn a_credential_that_is_not_known_lacks_no_right() {
        let endpoint =
            Endpoint { name: "SIEM", key: "siem", address: String::new(), redactor: crate::reply::Redactor::default() };
        let said = |status| by_status(&endpoint, &Reply { status, ..Reply::default() }, "it lacks a right.", "");
        let Some(Sighting::Refused(unknown)) = said(401) else { panic!("{:?}", said(401)) };
        assert!(unknown.contains("does not accept the credential") && !unknown.contains("lacks a right"), "{unknown}");
        let Some(Sighting::Refused(weak)) = said(403) else { panic!("{:?}", said(403)) };
        assert!(weak.contains("it lacks a right"), "{weak}");
    }

    #[test]
    fn addresses_of_pages_lead_to_what_is_above_them_and_hold_no_credential() {
        let above =
            |path: &str| -> String { web(path, |path| path.split("/app/").next().unwrap_or_default()).unwrap() };
        assert_eq!(above("https://k.example/s/soc/app/discover#/?_g=(x:'y')"), "https://k.example/s/soc");
        assert_eq!(above("k.example:5601"), "https://k.example:5601");
        assert_eq!(above("http://k.example/?x=1"), "http://k.example");
        for bad in ["", "javascript:alert(1)", "https://me:hunter2@k.example", "ftp://k.example", "#x"] {
            let refused = web(bad, |path| path).unwrap_err();
            assert!(!refused.contains("hunter2"), "{bad}: {refused}");
        }
        assert_eq!(encoded("a b\"é"), "a%20b%22%C3%A9");
    }
}
