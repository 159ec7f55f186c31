//! `ETag` and `If-Match`: a connector's revision in quotes (RFC 9110, section 13.1.1).

use http::HeaderMap;
use http::header::IF_MATCH;
use toktra_siem_core::ids::Revision;

use crate::error::{ApiError, Result};

/// The `ETag` of a revision.
pub(super) fn tag(revision: Revision) -> String {
    format!("\"{}\"", revision.0)
}

/// What a request says about the revision that it means to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// Nothing, or `*`: whatever is there.
    Whatever,
    /// One of these.
    Tags(Vec<String>),
}

impl IfMatch {
    /// Reads the header.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self> {
        let mut tags = Vec::new();
        for value in headers.get_all(IF_MATCH) {
            let text = value.to_str().map_err(|_| ApiError::bad_request("`If-Match` cannot be read."))?;
            tags.extend(text.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()));
        }
        if tags.is_empty() || tags.iter().any(|tag| tag == "*") {
            return Ok(Self::Whatever);
        }
        Ok(Self::Tags(tags))
    }

    /// Whether the request insists on a revision.
    pub(super) fn insists(&self) -> bool {
        matches!(self, Self::Tags(_))
    }

    /// Refuses where the present revision is not one of those named. A weak tag matches none.
    pub(super) fn check(&self, present: Revision) -> Result<()> {
        match self {
            Self::Tags(tags) if !tags.contains(&tag(present)) => Err(ApiError::stale()),
            Self::Tags(_) | Self::Whatever => Ok(()),
        }
    }
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
            IfMatch::of(&headers).unwrap().check(Revision(3)).is_ok()
        };
        assert!(IfMatch::of(&HeaderMap::new()).unwrap().check(Revision(3)).is_ok());
        assert!(with("\"3\"") && with("\"2\", \"3\"") && with("*"));
        assert!(!with("\"2\"") && !with("3") && !with("W/\"3\""));
    }
}
