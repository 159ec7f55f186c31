//! A connector's secrets: write-only, encrypted at rest, never printed.

use secrecy::SecretString;

use super::Platform;

/// The secret that authorises requests, by the way it is used.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Splunk's HEC token.
    HecToken(SecretString),
    /// Datadog's API key.
    DatadogApiKey(SecretString),
    /// Elasticsearch's API key, in the encoded form `base64(id:key)`.
    ElasticsearchApiKey(SecretString),
    /// Elasticsearch's password; the user name is in the settings.
    ElasticsearchPassword(SecretString),
    /// Elasticsearch without security (tests, clusters behind a proxy).
    None,
}

impl Credentials {
    /// The secrets by the name of their member of `config`, for storing them apart and for showing that they are set.
    pub fn parts(&self) -> Vec<(&'static str, SecretString)> {
        match self {
            Self::HecToken(secret) => vec![("hec_token", secret.clone())],
            Self::DatadogApiKey(secret) | Self::ElasticsearchApiKey(secret) => vec![("api_key", secret.clone())],
            Self::ElasticsearchPassword(secret) => vec![("password", secret.clone())],
            Self::None => Vec::new(),
        }
    }

    /// What [`Self::parts`] took apart; `None` where the parts are not those of a connector of this platform (a damaged store).
    pub fn from_parts(platform: Platform, parts: Vec<(String, SecretString)>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let credentials = match (platform, parts.next()) {
            (Platform::Elasticsearch, None) => Self::None,
            (_, None) => return None,
            (platform, Some((name, secret))) => match (platform, name.as_str()) {
                (Platform::Splunk, "hec_token") => Self::HecToken(secret),
                (Platform::Datadog, "api_key") => Self::DatadogApiKey(secret),
                (Platform::Elasticsearch, "api_key") => Self::ElasticsearchApiKey(secret),
                (Platform::Elasticsearch, "password") => Self::ElasticsearchPassword(secret),
                _ => return None,
            },
        };
        parts.next().is_none().then_some(credentials)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[test]
    fn come_apart_and_together_again() {
        for (platform, credentials) in [
            (Platform::Splunk, Credentials::HecToken(secret("a"))),
            (Platform::Datadog, Credentials::DatadogApiKey(secret("b"))),
            (Platform::Elasticsearch, Credentials::ElasticsearchApiKey(secret("c"))),
            (Platform::Elasticsearch, Credentials::ElasticsearchPassword(secret("d"))),
            (Platform::Elasticsearch, Credentials::None),
        ] {
            let plain =
                |c: &Credentials| c.parts().iter().map(|(n, s)| (*n, s.expose_secret().to_owned())).collect::<Vec<_>>();
            let parts = credentials.parts().into_iter().map(|(name, s)| (name.to_owned(), s)).collect();
            let again = Credentials::from_parts(platform, parts).unwrap();
            assert_eq!(plain(&again), plain(&credentials));
            assert_eq!(std::mem::discriminant(&again), std::mem::discriminant(&credentials));
        }
        assert!(Credentials::from_parts(Platform::Splunk, vec![]).is_none());
        assert!(Credentials::from_parts(Platform::Splunk, vec![("api_key".into(), secret("x"))]).is_none());
        let two = vec![("api_key".into(), secret("x")), ("password".into(), secret("y"))];
        assert!(Credentials::from_parts(Platform::Elasticsearch, two).is_none());
    }

    #[test]
    fn are_never_shown_by_debug() {
        assert!(!format!("{:?}", Credentials::HecToken(secret("hunter2"))).contains("hunter2"));
    }
}
