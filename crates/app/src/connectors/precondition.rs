//! `ETag` and `If-Match`: a connector's revision in quotes (RFC 9110, section 13.1.1).

use http::HeaderMap;
use http::header::IF_MATCH;
use toktra_siem_core::ids::Revision;

use crate::{Refusal, Result};

/// The `ETag` of a revision.
pub fn tag(revision: Revision) -> String {
    format!("\"{}\"", revision.0)
}

/// What a request says about the revision that it means to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Nothing, or `*`: whatever is there.
    Whatever,
    /// One of these.
    Tags(Vec<String>),
}

impl IfMatch {
    /// Reads the header.
    pub fn of(headers: &HeaderMap) -> Result<Self> {
        let malformed = || {
            Refusal::bad_request(
                "`If-Match` cannot be read. Send the `ETag` as it was answered, in its quotes, or `*`; or leave the header out.",
            )
        };
        let mut tags = Vec::new();
        for value in headers.get_all(IF_MATCH) {
            let text = value.to_str().map_err(|_| malformed())?;
            tags.extend(text.split(',').map(|tag| tag.trim().to_owned()));
        }
        match tags.as_slice() {
            [] => Ok(Self::Whatever),
            [only] if only == "*" => Ok(Self::Whatever),
            several if several.iter().all(|tag| is_tag(tag)) => Ok(Self::Tags(tags)),
            _ => Err(malformed()),
        }
    }

    /// That it has to be this revision.
    pub fn revision(revision: Revision) -> Self {
        Self::Tags(vec![tag(revision)])
    }

    /// Whether the request insists on a revision.
    pub fn insists(&self) -> bool {
        matches!(self, Self::Tags(_))
    }

    /// Refuses where the present revision is not one of those named. A weak tag names it as well: a proxy that compresses makes ours weak, and
    /// clients behind it have no other. It is the state that counts here, and not the bytes that show it.
    pub fn check(&self, present: Revision) -> Result<()> {
        let present = tag(present);
        let names = |tag: &String| tag.strip_prefix("W/").unwrap_or(tag) == present;
        match self {
            Self::Tags(tags) if !tags.iter().any(names) => Err(Refusal::stale()),
            Self::Tags(_) | Self::Whatever => Ok(()),
        }
    }
}

/// Text in quotes, weak or not.
fn is_tag(text: &str) -> bool {
    let quoted = text.strip_prefix("W/").unwrap_or(text);
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| !inner.contains(['"', ' ']))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_present_revision_in_quotes_matches() {
        let with = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, HeaderValue::from_static(text));
            IfMatch::of(&headers).map(|wanted| wanted.check(Revision(3)).is_ok()).ok()
        };
        assert!(IfMatch::of(&HeaderMap::new()).unwrap().check(Revision(3)).is_ok());
        for fits in ["\"3\"", "\"2\", \"3\"", "W/\"3\"", "*"] {
            assert_eq!(with(fits), Some(true), "{fits}");
        }
        for other in ["\"2\"", "W/\"2\"", "\"\""] {
            assert_eq!(with(other), Some(false), "{other}");
        }
        for malformed in ["", " ", "3", "\"3", "\"3\",", "*, \"3\"", "w/\"3\"", "\"3\" \"4\"", "'3'"] {
            assert_eq!(with(malformed), None, "{malformed}");
        }
    }
}
