//! The signed webhook: events as they are stored, posted to any HTTPS URL. It is the way to whatever takes JSON and has no platform of its
//! own here: Sumo Logic, Panther, Rapid7, Cortex XSIAM, QRadar, feeds of Google SecOps, and functions that people write themselves.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use toktra_siem_core::connector::{Credentials, Settings};
use toktra_siem_core::ids::{EventId, PlatformId};
use url::Url;

use crate::descriptor::{Checked, Descriptor, Field, FormChoice, Kind, Step};
use crate::destination::Destination;
use crate::paste::{Pasted, Understood};
use crate::prerequisite::{Prerequisite, text};
use crate::read::{Given, Reader};
use crate::registry::{BuildError, Plan, Platform, plain_forms};
use crate::reply::basic;
use crate::{advice, checks, endpoint, login};

mod pasted;
mod post;

/// The platform.
pub struct Webhook(Descriptor);

impl Webhook {
    /// Its id.
    pub const ID: PlatformId = PlatformId::fixed("webhook");

    /// The platform.
    #[expect(clippy::new_without_default, reason = "there is nothing to choose")]
    pub fn new() -> Self {
        Self(Descriptor {
            covers: "Webhooks",
            leads_to: "a webhook: any HTTPS URL that takes JSON",
            icon: r#"<path class="mark" d="M2.5 6.75h6.2L6.4 4.4l1.5-1.4 4.9 5-4.9 5-1.5-1.4 2.3-2.35H2.5z"/>"#,
            fields: fields(),
            choices: vec![
                FormChoice {
                    name: "address",
                    label: "The URL",
                    step: Step::Where,
                    words: &[("url", "May be shown"), ("secret_url", "Lets in whoever knows it: keep it secret")],
                },
                FormChoice {
                    name: "auth",
                    label: "Log in with",
                    step: Step::Credentials,
                    words: &[
                        ("none", "Nothing: the receiver checks the signature, or the URL is the secret"),
                        ("token", "A bearer token"),
                        ("password", "User name and password"),
                    ],
                },
            ],
            needs: &[
                "the receiver's URL",
                "what it asks for: a token, a user name and password, headers, or a client certificate",
            ],
            preparation: "The receiver can verify each request with the connector's signing secret.",
            example: "--endpoint https://hooks.company.com/security --token-file token",
            signs: pasted::SIGNS,
            search_place: "In the system behind the webhook",
            ..Descriptor::new(Self::ID, "Webhook")
        })
    }
}

fn fields() -> Vec<Field> {
    vec![
        Field::new("url", "URL", Kind::Url(shown_url))
            .step(Step::Where)
            .when("address", "url")
            .option("endpoint")
            .limits(2048, None)
            .help("The URL that events are posted to, as it is: nothing is appended.")
            .hint(
                "Such as https://hooks.company.com/security. Events are posted to exactly this URL. A whole curl example can be pasted as it is.",
            ),
        Field::secret_url("secret_url", "Secret URL", hidden_url)
            .when("address", "secret_url")
            .help("The URL if it is a secret itself, because it lets in whoever knows it; instead of `url`.")
            .hint("For Sumo Logic, Rapid7, and whatever has a key in its path or query. It is sealed; only scheme, host and port are shown."),
        Field::secret("token", "Bearer token").read_secret(pasted::token)
            .when("auth", "token")
            .help("A token that is sent as `Authorization: Bearer`.")
            .hint("Sent as “Authorization: Bearer …”. For another scheme, write the whole Authorization header below."),
        Field::text("username", "User name")
            .read(checks::username)
            .when("auth", "password")
            .step(Step::Credentials)
            .help("A user name for HTTP Basic, if no token is given."),
        Field::secret("password", "Password")
            .read_secret(checks::password)
            .limits(checks::MAX_SECRET, None)
            .when("auth", "password")
            .help("That user's password."),
        Field::headers("headers", "Headers")
            .step(Step::Credentials)
            .help("Headers of your own, whose values are kept as secrets: an object of names and values, or one `name: value` a line.")
            .hint(
                "One a line, such as “X-Api-Key: …”. All of them are sealed, and replaced together. An Authorization header here takes the \
                 place of token and password. A single minus sign removes all.",
            ),
        Field::choice(
            "format",
            "Body",
            &[("event", "One event a request"), ("array", "A JSON array of events"), ("lines", "Events as lines of JSON")],
        )
        .default("event")
        .help("What a request carries: one event as a JSON object, an array of them, or one object a line (NDJSON).")
        .hint("One event a request suits libraries for Standard Webhooks. Arrays and lines suit collectors, and many events."),
        Field::number("max_events", "Events in a request, at most", 1, 10_000)
            .default("500")
            .help("How many events an array, or lines, may hold; a request holds no more than 450 kB besides.")
            .hint("From 1 to 10,000, for arrays and lines. A request never holds more than 450 kB, unless a single event does."),
    ]
}

/// A URL to which nothing is appended, and which may be shown.
fn shown_url(text: &str) -> Checked {
    let url = endpoint::whole(text)?;
    if url.query().is_some() {
        return Err(
            "must not have a query (`?…`), since that often holds a key: give the whole URL as `secret_url`".to_owned()
        );
    }
    Ok(url.into())
}

/// The same, which is never shown.
fn hidden_url(text: &str) -> Checked {
    endpoint::whole(text).map(String::from)
}

/// One URL, by the one name or by the other; a new one takes the place of the other kind.
fn read_address(reader: &mut Reader<'_>) {
    let (shown, hidden) =
        (reader.text("url", shown_url), reader.secret("secret_url", |text| hidden_url(text).map(SecretString::from)));
    let (stored, sealed) = (reader.current_text("url"), reader.current_text("secret_url"));
    let missing = "is missing: give `url` or `secret_url`";
    match (shown, hidden) {
        (Given::Value(_), Given::Value(_)) => reader.fault("secret_url", "give either `url` or `secret_url`, not both"),
        (Given::Value(url), Given::Absent | Given::Reset) => {
            reader.set("url", url);
            if sealed.is_some() {
                reader.set_secret("secret_url", None);
            }
        }
        (Given::Absent | Given::Reset, Given::Value(secret)) => {
            reader.set("secret_url", endpoint::origin(&secret));
            reader.set_secret("secret_url", Some(secret));
        }
        (given, Given::Absent) if sealed.is_some() && !matches!(given, Given::Wrong) => {
            reader.set("secret_url", sealed);
        }
        (Given::Absent, Given::Absent | Given::Reset) if stored.is_some() => reader.set("url", stored),
        (Given::Wrong, _) | (_, Given::Wrong) => {}
        (Given::Absent | Given::Reset, Given::Absent | Given::Reset) => reader.fault("url", missing),
    }
}

impl Platform for Webhook {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn read(&self, reader: &mut Reader<'_>) {
        read_address(reader);
        login::read(reader, "token", pasted::token);
        let own = |field: &&Field| matches!(field.name, "headers" | "format" | "max_events");
        reader.fields(self.0.fields.iter().filter(own));
    }

    fn needed(&self, config: &Map<String, Value>) -> Vec<&'static str> {
        let hidden = (!config.contains_key("url")).then_some("secret_url");
        let password = (config.contains_key("username") && !config.contains_key("token")).then_some("password");
        hidden.into_iter().chain(password).collect()
    }

    fn credential(&self, _config: &Map<String, Value>) -> Option<&'static str> {
        // None has to be there; those that are, have to be brought along.
        None
    }

    fn secret_forms(&self, settings: &Settings, credentials: &Credentials) -> Vec<String> {
        let mut forms = plain_forms(&self.0, credentials);
        if let Some(password) = credentials.get("password") {
            forms.push(basic(settings.text("username"), password).expose_secret().to_owned());
        }
        forms
    }

    fn build(&self, plan: Plan<'_>) -> Result<Box<dyn Destination>, BuildError> {
        Ok(Box::new(post::Post::new(&plan)?))
    }

    fn search(&self, _settings: &Settings, event: EventId) -> String {
        format!("event_id: \"{event}\"")
    }

    fn prerequisites(&self, config: &Map<String, Value>) -> Vec<Prerequisite> {
        let body = match text(config, "format") {
            "array" => "a JSON array of events",
            "lines" => "events as lines of JSON (application/x-ndjson)",
            _ => "one event as a JSON object",
        };
        vec![
            Prerequisite::new(
                "Take the requests",
                format!(
                    "The receiver takes a POST with {body}, and answers with a status of 2xx within 30 seconds once it has kept them. 410 tells \
                     the connector that it is not wanted any more, 429 and 5xx that it comes again later. An event may come twice: its \
                     event_id tells."
                ),
            ),
            Prerequisite::new(
                "Verify the signature",
                "Every request is signed twice with the connector's signing secret, which begins with whsec_: by the Standard Webhooks headers \
                 (webhook-id, webhook-timestamp, webhook-signature), for which there are libraries, and in X-Toktra-Signature, the HMAC-SHA256 \
                 of the body's bytes. The secret is shown when the connector is saved.",
            ),
        ]
    }

    fn advice(&self, settings: &Settings, code: &str, _targets: &[Url]) -> Vec<String> {
        let by_path = advice::leads_elsewhere(code) && settings.text("url").is_some_and(|url| url.ends_with('/'));
        let slash =
            "The URL ends in a slash, and it is posted to as it is: look whether the receiver wants it without.";
        by_path.then(|| slash.to_owned()).into_iter().collect()
    }

    fn is_meant(&self, pasted: &Pasted) -> bool {
        pasted::is_meant(pasted)
    }

    fn understand(&self, pasted: &mut Pasted, understood: &mut Understood) {
        self.understood_of(pasted, understood);
    }
}
