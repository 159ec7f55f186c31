//! What a form sends: names and values, in order, a name as often as there are boxes ticked.

use axum::extract::FromRequestParts;
use http::request::Parts;
use secrecy::SecretString;

use super::error::PageError;

/// The fields of a form. Values may be secrets, so they are never printed.
#[derive(Clone, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`, of a body or of a query.
    pub fn parse(bytes: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The first value of `name`, trimmed; empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
    }

    /// The first value of `name`, trimmed, where there is something in it.
    pub fn filled(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// The first value of `name` as it was sent; empty where there is none: for text in which white space means something.
    pub fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The first value of `name` as it was typed: a password may begin with a space.
    pub fn secret(&self, name: &str) -> Option<SecretString> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        (!value.is_empty()).then(|| value.as_str().into())
    }

    /// With `value` in place of what `name` held.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.retain(|(key, _)| key != name);
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Every value of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.trim())
    }

    /// Whether `name` was sent at all: a box that is ticked.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// The names that were sent.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }
}

/// The guard has read it; where nothing was sent it is empty.
impl<S: Send + Sync> FromRequestParts<S> for Form {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, PageError> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn boxes_texts_and_secrets_are_told_apart() {
        let form = Form::parse(b"name=+Prod+Splunk+&severity=high&severity=critical&password=+x&empty=");
        assert_eq!(form.text("name"), "Prod Splunk");
        assert_eq!(form.all("severity").collect::<Vec<_>>(), ["high", "critical"]);
        assert_eq!(form.secret("password").unwrap().expose_secret(), " x");
        assert_eq!((form.filled("empty"), form.filled("missing"), form.has("empty")), (None, None, true));
        assert!(form.secret("empty").is_none());
    }
}
