//! A connector's secrets: write-only, encrypted at rest, never printed.

use std::collections::BTreeMap;

use secrecy::SecretString;

/// The secrets that authorise requests, by the name of their member of `config`. Which of them a platform wants, it says itself.
#[derive(Debug, Clone, Default)]
pub struct Credentials(BTreeMap<String, SecretString>);

impl Credentials {
    /// No secret: an endpoint that wants none.
    pub fn none() -> Self {
        Self::default()
    }

    /// One secret.
    pub fn of(name: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        Self::none().with(name, secret)
    }

    /// One more.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        self.0.insert(name.into(), secret.into());
        self
    }

    /// The secret of this name.
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secrets by the name of their member of `config`, for storing them apart and for showing that they are set.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.0.iter().map(|(name, secret)| (name.as_str(), secret))
    }
}

impl FromIterator<(String, SecretString)> for Credentials {
    fn from_iter<I: IntoIterator<Item = (String, SecretString)>>(parts: I) -> Self {
        Self(parts.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_never_shown_by_debug() {
        assert!(!format!("{:?}", Credentials::of("token", "hunter2".to_owned())).contains("hunter2"));
    }
}
