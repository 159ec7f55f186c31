//! Which platforms there are. The registry is a value that is handed to whoever needs it: nothing knows of a platform that is not in it, and
//! what is in it appears everywhere by itself.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use toktra_siem_core::certificate::Certificate;
use toktra_siem_core::connector::{Credentials, Settings};
use toktra_siem_core::destination::reply::Redactor;
use toktra_siem_core::ids::{ConnectorId, EventId, OrgId, PlatformId, StreamKind};
use url::Url;

use crate::descriptor::{Descriptor, Field, Kind};
use crate::destination::Destination;
use crate::facts::{self, Fact};
use crate::paste::{Pasted, Understood};
use crate::prerequisite::Prerequisite;
use crate::read::Reader;
use crate::search::Span;
use crate::{advice, common, endpoint, group};

/// What a platform does, beside what its [`Descriptor`] tells. A folder holds one implementation of it.
pub trait Platform: Send + Sync {
    /// What it is.
    fn descriptor(&self) -> &Descriptor;

    /// Reads its settings. By default each for itself; a platform whose settings depend on each other says so here.
    fn read(&self, reader: &mut Reader<'_>) {
        reader.fields(&self.descriptor().fields);
    }

    /// Every base URL that events go to; by default the settings that are URLs, and of one that is a secret its origin. What cannot be parsed
    /// is left out by whoever asks. A URL that stands in an object is none of them.
    fn targets(&self, config: &Map<String, Value>, credentials: &Credentials) -> Vec<String> {
        let target = |field: &Field| match field.kind {
            Kind::Url(_) => Some(config.get(field.name)?.as_str()?.to_owned()),
            Kind::SecretUrl(_) => match (credentials.get(field.name), config.get(field.name)) {
                (Some(secret), _) => endpoint::origin(secret),
                // As it is stored, or as an answer shows it.
                (None, shown) => Some(shown?.as_str().or_else(|| shown?.get("origin")?.as_str())?.to_owned()),
            },
            _ => None,
        };
        self.descriptor().fields.iter().filter(|field| group::path(field.name).is_none()).filter_map(target).collect()
    }

    /// Where events go, in a word that its people know; by default the host of the first target.
    fn place(&self, config: &Map<String, Value>) -> String {
        self.targets(config, &Credentials::none()).first().map(|url| facts::host(url)).unwrap_or_default()
    }

    /// The secrets without which there can be no connector with these settings; by default those that are required.
    fn needed(&self, config: &Map<String, Value>) -> Vec<&'static str> {
        let needed = |field: &&Field| field.is_secret() && field.is_required(config);
        self.descriptor().fields.iter().filter(needed).map(|field| field.name).collect()
    }

    /// The secret that must be brought along where the target changes, beside those that are stored.
    fn credential(&self, config: &Map<String, Value>) -> Option<&'static str> {
        self.needed(config).first().copied()
    }

    /// Every form in which its secrets travel, so that none is kept of what an endpoint echoes; by default what their kinds say.
    fn secret_forms(&self, _settings: &Settings, credentials: &Credentials) -> Vec<String> {
        plain_forms(self.descriptor(), credentials)
    }

    /// What a connector with these settings leads to, in sentences; by default what the platform is called.
    fn receiver(&self, _config: &Map<String, Value>) -> &'static str {
        self.descriptor().label
    }

    /// Where the search for an event is pasted.
    fn search_place(&self, _config: &Map<String, Value>) -> &'static str {
        self.descriptor().search_place
    }

    /// What is to be known of an event that arrived, if what takes it sends it on; a whole sentence.
    fn onward(&self, _settings: &Settings) -> Option<&'static str> {
        None
    }

    /// The destination of one stream.
    fn build(&self, plan: Plan<'_>) -> Result<Box<dyn Destination>, BuildError>;

    /// The search to paste there that finds the event.
    fn search(&self, settings: &Settings, event: EventId) -> String;

    /// The address that shows these events to a person there, all of whose times lie in `span`; `None` where none is known. `events` is never
    /// empty.
    fn open_url(&self, _settings: &Settings, _events: &[EventId], _span: Span) -> Option<String> {
        None
    }

    /// What has to be there before a connector with these settings works, in the order in which it is done. Settings that are not known yet are
    /// not there.
    fn prerequisites(&self, _config: &Map<String, Value>) -> Vec<Prerequisite> {
        let preparation = self.descriptor().preparation;
        let one = Prerequisite::new("Prepare the receiver", preparation);
        (!preparation.is_empty()).then_some(one).into_iter().collect()
    }

    /// What whoever prepares it sends back, item by item; by default what its people have to have at hand.
    fn sent_back(&self, _config: &Map<String, Value>) -> Vec<String> {
        self.descriptor().needs.iter().map(|need| (*need).to_owned()).collect()
    }

    /// What else to look at in these settings, where a delivery ended with the cause of this code; whole sentences.
    fn advice(&self, _settings: &Settings, _code: &str, _targets: &[Url]) -> Vec<String> {
        Vec::new()
    }

    /// What somebody pasted says of its settings, which is taken out of it; by default where a request goes, a bearer token, and settings by
    /// their own names.
    fn understand(&self, pasted: &mut Pasted, understood: &mut Understood) {
        pasted.plainly(self.descriptor(), understood);
    }

    /// Whether what somebody pasted is plainly meant for it; by default if it mentions what the platform's own programs are called.
    fn is_meant(&self, pasted: &Pasted) -> bool {
        pasted.mentions(self.descriptor().signs)
    }

    /// Its settings for people, as they are stored; by default each with its label.
    fn facts(&self, config: &Map<String, Value>) -> Vec<Fact> {
        facts::plain(&self.descriptor().fields, config)
    }
}

/// Whether a field is the URL of an object: of this one, or of any.
fn is_url_of(field: &Field, wanted: Option<&str>) -> bool {
    let of = group::path(field.name).map(|(group, _)| group);
    matches!(field.kind, Kind::Url(_)) && of.is_some() && (wanted.is_none() || of == wanted)
}

fn origin(url: Option<&str>) -> Option<url::Origin> {
    url.and_then(|url| Url::parse(url).ok()).map(|url| url.origin())
}

/// The forms in which secrets travel, as their kinds say.
pub fn plain_forms(descriptor: &Descriptor, credentials: &Credentials) -> Vec<String> {
    let forms = |(name, secret): (&str, &SecretString)| match descriptor.field(name) {
        Some(field) => field.forms(secret),
        None => vec![secret.expose_secret().to_owned()],
    };
    credentials.parts().flat_map(forms).collect()
}

/// What a destination is made of.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The connector's settings.
    pub settings: &'a Settings,
    /// Its secrets.
    pub credentials: &'a Credentials,
    /// Its tenant.
    pub org: OrgId,
    /// Which connector.
    pub connector: ConnectorId,
    /// Which of its streams.
    pub kind: StreamKind,
    /// Takes the secrets out of what the endpoint says.
    pub redactor: Redactor,
}

impl<'a> Plan<'a> {
    /// The settings as the platform's own type.
    pub fn config<T: serde::de::DeserializeOwned>(&self) -> Result<T, BuildError> {
        serde_json::from_value(Value::Object(self.settings.config.clone()))
            .map_err(|error| BuildError::Settings { platform: self.settings.platform, why: error.to_string() })
    }

    /// The secret of this name.
    pub fn secret(&self, name: &str) -> Result<&'a secrecy::SecretString, BuildError> {
        self.credentials.get(name).ok_or(BuildError::Credentials)
    }
}

/// Why there is no destination for a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The platform has no such stream: the caller mixed up connectors.
    #[error("{platform} has no {kind} stream")]
    Stream {
        /// The connector's platform.
        platform: PlatformId,
        /// What was asked for.
        kind: StreamKind,
    },
    /// A secret that it needs is not there.
    #[error("what is stored as its credential is none of this platform's. Enter the credential again")]
    Credentials,
    /// The stored settings are not those of the platform.
    #[error("its stored settings cannot be read as those of {platform} ({why}). Save the connector again")]
    Settings {
        /// The connector's platform.
        platform: PlatformId,
        /// What the reader said.
        why: String,
    },
    /// The platform is not there.
    #[error(
        "its platform `{0}` is not one that this version knows; events wait until one does, or delete the connector"
    )]
    Unknown(PlatformId),
}

/// The platforms that there are, in the order in which people see them.
#[derive(Clone)]
pub struct Registry {
    platforms: Arc<[Arc<dyn Platform>]>,
    common: Arc<[Field]>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Registry {
    /// Those of the product.
    pub fn standard() -> Self {
        Self::of([
            Arc::new(crate::splunk::Splunk::new()) as Arc<dyn Platform>,
            Arc::new(crate::datadog::Datadog::new()),
            Arc::new(crate::elasticsearch::Elasticsearch::new()),
            Arc::new(crate::webhook::Webhook::new()),
        ])
    }

    /// These alone.
    pub fn of(platforms: impl IntoIterator<Item = Arc<dyn Platform>>) -> Self {
        Self { platforms: platforms.into_iter().collect(), common: common::fields().into() }
    }

    /// One more, behind the others. One that is there already under the same id gives way.
    #[must_use]
    pub fn with(self, platform: impl Platform + 'static) -> Self {
        let id = platform.descriptor().id;
        let others = self.platforms.iter().filter(|other| other.descriptor().id != id).cloned();
        Self::of(others.chain([Arc::new(platform) as Arc<dyn Platform>]))
    }

    /// Every platform.
    pub fn platforms(&self) -> impl Iterator<Item = &dyn Platform> + Clone {
        self.platforms.iter().map(|platform| &**platform)
    }

    /// Every platform, described.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> + Clone {
        self.platforms().map(Platform::descriptor)
    }

    /// The id of every platform.
    pub fn ids(&self) -> impl Iterator<Item = PlatformId> + Clone + '_ {
        self.descriptors().map(|descriptor| descriptor.id)
    }

    /// The platform of this id.
    pub fn get(&self, id: PlatformId) -> Option<&dyn Platform> {
        self.platforms().find(|platform| platform.descriptor().id == id)
    }

    /// The same, described.
    pub fn descriptor(&self, id: PlatformId) -> Option<&Descriptor> {
        self.get(id).map(Platform::descriptor)
    }

    /// The platform that stands behind a word, where there is one.
    pub fn find(&self, word: &str) -> Option<&Descriptor> {
        PlatformId::new(word).and_then(|id| self.descriptor(id))
    }

    /// How the platform writes its name; its id, where it is not there.
    pub fn label(&self, id: PlatformId) -> String {
        self.descriptor(id).map_or_else(|| id.to_string(), |descriptor| descriptor.label.to_owned())
    }

    /// What a connector with these settings leads to, in sentences.
    pub fn receiver(&self, id: PlatformId, config: &Map<String, Value>) -> String {
        self.get(id).map_or_else(|| id.to_string(), |platform| platform.receiver(config).to_owned())
    }

    /// The words of all of them, for a sentence: `splunk, datadog or elasticsearch`.
    pub fn listed(&self) -> String {
        let words: Vec<String> = self.ids().map(|id| id.to_string()).collect();
        match words.as_slice() {
            [] => "none".to_owned(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
        }
    }

    /// The settings that all platforms have.
    pub fn common(&self) -> &[Field] {
        &self.common
    }

    /// All settings of a platform, its own first.
    pub fn fields(&self, id: PlatformId) -> impl Iterator<Item = &Field> + Clone {
        let own = self.descriptor(id).map_or(&[][..], |descriptor| &descriptor.fields);
        own.iter().chain(self.common())
    }

    /// The setting of this name of a platform.
    pub fn field(&self, id: PlatformId, name: &str) -> Option<&Field> {
        self.fields(id).find(|field| field.name == name)
    }

    /// Every base URL that a connector dials, for the egress policy. A stored URL that no longer parses (a damaged store) is left out;
    /// transport parses what it dials again and refuses it.
    pub fn targets(&self, settings: &Settings, credentials: &Credentials) -> Vec<Url> {
        let urls = self.get(settings.platform).map(|platform| platform.targets(&settings.config, credentials));
        let beside = self.fields(settings.platform).filter(|field| is_url_of(field, None));
        let beside = beside.filter_map(|field| settings.text(field.name).map(str::to_owned));
        urls.unwrap_or_default().into_iter().chain(beside).filter_map(|url| Url::parse(&url).ok()).collect()
    }

    /// Whether any of the connector's requests would travel without TLS.
    pub fn plain_http(&self, settings: &Settings) -> bool {
        self.targets(settings, &Credentials::none()).iter().any(|url| url.scheme() == "http")
    }

    /// Whether scheme, host, port, or what else names the target or whom to trust there, is another: then the credential must be brought along, or
    /// anyone who may edit the connector could have the stored secret sent to a host of their own.
    pub fn target_changed(&self, old: &Settings, new: &Settings) -> bool {
        self.fields(new.platform)
            .filter_map(|field| group::path(field.name))
            .any(|(group, _)| self.group_moved(old, new, group))
            || self.events_moved(old, new)
    }

    /// The same for the secret of this name: one that stands in an object with a URL goes there, every other one goes where events go.
    pub fn moved(&self, old: &Settings, new: &Settings, secret: &str) -> bool {
        let own = group::path(secret).map(|(group, _)| group);
        match own.filter(|group| self.fields(new.platform).any(|field| is_url_of(field, Some(group)))) {
            Some(group) => self.group_moved(old, new, group) || self.renamed(self.common().iter(), old, new),
            None => self.events_moved(old, new),
        }
    }

    fn events_moved(&self, old: &Settings, new: &Settings) -> bool {
        let origins = |settings: &Settings| {
            let settings = self.with_defaults(settings);
            let urls = self.get(settings.platform).map(|of| of.targets(&settings.config, &Credentials::none()));
            urls.unwrap_or_default().iter().map(|url| origin(Some(url))).collect::<Vec<_>>()
        };
        origins(old) != origins(new) || self.renamed(self.fields(new.platform), old, new)
    }

    /// Whether the URL in an object leads elsewhere.
    fn group_moved(&self, old: &Settings, new: &Settings, group: &str) -> bool {
        let origin = |settings: &Settings, field: &Field| origin(settings.text(field.name));
        let mut urls = self.fields(new.platform).filter(|field| is_url_of(field, Some(group)));
        urls.any(|field| origin(old, field) != origin(new, field))
    }

    /// Whether something else that names the target is another.
    fn renamed<'f>(&self, mut fields: impl Iterator<Item = &'f Field>, old: &Settings, new: &Settings) -> bool {
        let (old, new) = (&self.with_defaults(old), &self.with_defaults(new));
        fields.any(|field| field.target && !field.same(old.config.get(field.name), new.config.get(field.name)))
    }

    /// The same settings with the default of each that is not there: a record of before it was there has that.
    fn with_defaults(&self, settings: &Settings) -> Settings {
        let mut settings = settings.clone();
        for field in self.fields(settings.platform) {
            let value = settings.config.get(field.name).filter(|value| !value.is_null());
            if let (None, Some(default)) = (value, field.default_beside(&settings.config)) {
                settings.config.insert(field.name.to_owned(), default);
            }
        }
        settings
    }

    /// Takes the connector's own secrets out of what its endpoint says.
    pub fn redactor(&self, settings: &Settings, credentials: &Credentials) -> Redactor {
        Redactor::new(match self.get(settings.platform) {
            Some(platform) => platform.secret_forms(settings, credentials),
            None => credentials.parts().map(|(_, secret)| secret.expose_secret().to_owned()).collect(),
        })
    }

    /// The destination of one stream: `kind` of the connector `connector` of `org`, with its newest settings and secrets.
    pub fn build(
        &self,
        settings: &Settings,
        credentials: &Credentials,
        org: OrgId,
        connector: ConnectorId,
        kind: StreamKind,
    ) -> Result<Box<dyn Destination>, BuildError> {
        let platform = self.get(settings.platform).ok_or(BuildError::Unknown(settings.platform))?;
        if !platform.descriptor().streams.contains(&kind) {
            return Err(BuildError::Stream { platform: settings.platform, kind });
        }
        let redactor = self.redactor(settings, credentials);
        platform.build(Plan { settings, credentials, org, connector, kind, redactor })
    }

    /// The search that finds the event with this id.
    pub fn search(&self, settings: &Settings, event: EventId) -> String {
        self.get(settings.platform).map_or_else(|| event.to_string(), |platform| platform.search(settings, event))
    }

    /// What is to be known of an event that arrived, if what takes it sends it on; a whole sentence.
    pub fn onward(&self, settings: &Settings) -> Option<&'static str> {
        self.get(settings.platform)?.onward(settings)
    }

    /// The address that shows these events to a person there, if one is known. A stream of metrics holds counts, and shows no event.
    pub fn open_url(&self, settings: &Settings, stream: StreamKind, events: &[EventId], span: Span) -> Option<String> {
        if events.is_empty() || stream == StreamKind::Metrics {
            return None;
        }
        self.get(settings.platform)?.open_url(settings, events, span)
    }

    /// What else to look at in these settings, where a delivery ended with the cause of this code; whole sentences. `shown` is the certificate
    /// that was refused, if one was.
    pub fn advice(&self, settings: &Settings, code: &str, shown: Option<&Certificate>) -> Option<String> {
        let platform = self.get(settings.platform)?;
        advice::advice(self, platform, settings, code, shown)
    }
}
