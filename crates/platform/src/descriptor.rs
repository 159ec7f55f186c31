//! What a platform is, told once: its settings with their words and limits, its streams, and what people read about it. Page, API, command
//! line, environment, documentation and figures are made of it; none of them knows a platform by name.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use toktra_siem_core::ids::{PlatformId, StreamKind};

use crate::view::SecretView;
use crate::{checks, endpoint, headers};

/// A value as it is kept, or a sentence for whoever typed it. The sentence never repeats a secret.
pub type Checked<T = String> = Result<T, String>;

/// A platform, described.
#[derive(Debug, Clone)]
pub struct Descriptor {
    /// The word that stands for it in the API, in the environment's variables, in figures and on disk.
    pub id: PlatformId,
    /// How it writes its own name.
    pub label: &'static str,
    /// What else is reached in the same way, with its name: `Elasticsearch and OpenSearch`. The name alone where there is nothing.
    pub covers: &'static str,
    /// What a connector leads to: `Splunk's HTTP Event Collector`.
    pub leads_to: &'static str,
    /// Its mark: the inside of an SVG on a grid of 16.
    pub icon: &'static str,
    /// Its settings, in the order in which they are shown. What all platforms have is not among them.
    pub fields: Vec<Field>,
    /// What the form lets people choose between, where no setting says it.
    pub choices: Vec<FormChoice>,
    /// The streams of a connector.
    pub streams: &'static [StreamKind],
    /// What somebody has to have at hand, item by item.
    pub needs: &'static [&'static str],
    /// Where what is needed is found there; whole sentences.
    pub preparation: &'static str,
    /// The options of an example of `connector add`.
    pub example: &'static str,
    /// Words by which the names of settings in other programs' configurations tell that they are for it.
    pub signs: &'static [&'static str],
    /// Where the search for an event is pasted.
    pub search_place: &'static str,
    /// The name of the web pages that a link to an event opens ([`crate::registry::Platform::open_url`]); empty if there are none.
    pub opens: &'static str,
    /// It takes an event that it has already for the same one, so that sending it again doubles nothing.
    pub recognises: bool,
    /// Why nobody sends its metrics again by hand; empty where it has none.
    pub metrics_once: &'static str,
    /// What is put in place at the endpoint, where anything is, as people call it: `index template`.
    pub prepared: Option<&'static str>,
}

impl Descriptor {
    /// A platform of which only the necessary is known.
    pub fn new(id: PlatformId, label: &'static str) -> Self {
        Self {
            id,
            label,
            covers: label,
            leads_to: label,
            icon: r#"<path class="mark" d="M8 2.5 13.5 8 8 13.5 2.5 8z"/>"#,
            fields: Vec::new(),
            choices: Vec::new(),
            streams: &[StreamKind::Events],
            needs: &[],
            preparation: "",
            example: "",
            signs: &[],
            search_place: "In the SIEM",
            opens: "",
            recognises: false,
            metrics_once: "",
            prepared: None,
        }
    }

    /// The setting of this name, among its own.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// A setting: a member of `config`.
#[derive(Debug, Clone)]
pub struct Field {
    /// The name of the member; `search.token` for one of the object `search` ([`crate::group`]).
    pub name: &'static str,
    /// What the page calls it.
    pub label: &'static str,
    /// What it does, in a sentence: for documentation, command line and API.
    pub help: &'static str,
    /// Where its value is found, and what follows from it: beside the field of the form.
    pub hint: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether a connector cannot be without it.
    pub required: bool,
    /// What applies where nothing is given, in the notation of the environment.
    pub default: Option<&'static str>,
    /// The longest text, in characters.
    pub max_length: Option<usize>,
    /// What its text looks like, as a regular expression of JSON Schema.
    pub pattern: Option<&'static str>,
    /// Whether another value means another target, so that the credential has to be brought along. Of a URL the origin counts by itself.
    pub target: bool,
    /// Where it stands in the form.
    pub step: Step,
    /// The choice beside which it counts in the form.
    pub when: Option<When>,
    /// Beside which words of a choice it may be absent.
    pub unless: Option<Unless>,
    /// It has no input of its own in the form.
    pub shares: Option<Shares>,
    /// Its input in the form, where that is not called `<platform>_<name>`: what stands behind the `_`.
    pub input: Option<&'static str>,
    /// Its option at the command line, where that does not follow from its name.
    pub option: Option<&'static str>,
}

/// What a setting takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// The base URL of an endpoint, which is dialled.
    Url(fn(&str) -> Checked),
    /// A text.
    Text(fn(&str) -> Checked),
    /// A text that is never shown.
    Secret(fn(&str) -> Checked<SecretString>),
    /// Yes or no.
    Flag,
    /// A whole number within these.
    Number {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// One of several words.
    Choice {
        /// Each word, and what it is called.
        words: &'static [(&'static str, &'static str)],
        /// Reads what people write; `None` takes the words as they are.
        read: Option<fn(&str) -> Checked>,
    },
    /// Certificates in PEM.
    Pem(fn(&str) -> Checked),
    /// A URL that is dialled and lets in whoever knows it: a secret of which the origin alone is shown.
    SecretUrl(fn(&str) -> Checked),
    /// Headers of a person's own, whose values are secrets ([`crate::headers`]).
    Headers,
}

impl Kind {
    /// The word for it in `GET /v1/siem/platforms`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Text(_) => "text",
            Self::Secret(_) => "secret",
            Self::Flag => "boolean",
            Self::Number { .. } => "number",
            Self::Choice { .. } => "choice",
            Self::Pem(_) => "pem",
            Self::SecretUrl(_) => "secret_url",
            Self::Headers => "headers",
        }
    }
}

/// Where a setting stands in the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Where the SIEM is.
    Where,
    /// What it is reached with.
    Credentials,
    /// What hardly anybody changes.
    Advanced,
}

/// The choice beside which a setting counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// The choice: a [`FormChoice`], or a setting that is a choice itself.
    pub choice: &'static str,
    /// The word that has to be chosen.
    pub word: &'static str,
}

/// The words of a choice beside which a setting may be absent: it is neither required then, nor has it its default. The choice stands before
/// the setting, and its default is not among the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unless {
    /// The setting that is the choice.
    pub choice: &'static str,
    /// The words.
    pub words: &'static [&'static str],
}

/// An input that takes two settings: what is typed decides which.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// The setting whose input it is.
    pub with: &'static str,
    /// Whether a text is meant for this one.
    pub meant: fn(&str) -> bool,
}

/// A choice that the form offers and no setting holds: which settings are there tells what was chosen.
#[derive(Debug, Clone, Copy)]
pub struct FormChoice {
    /// Its name, behind the platform's and `_`; or that of a setting, whose words these are added to.
    pub name: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// Where it stands.
    pub step: Step,
    /// Each word, and what it is called. The first one is chosen at first.
    pub words: &'static [(&'static str, &'static str)],
}

impl Field {
    /// A setting of which only the necessary is known.
    pub const fn new(name: &'static str, label: &'static str, kind: Kind) -> Self {
        Self {
            name,
            label,
            help: "",
            hint: "",
            kind,
            required: false,
            default: None,
            max_length: None,
            pattern: None,
            target: false,
            step: Step::Advanced,
            when: None,
            unless: None,
            shares: None,
            input: None,
            option: None,
        }
    }

    /// The base URL of an endpoint.
    pub const fn url(name: &'static str, label: &'static str) -> Self {
        Self { step: Step::Where, ..Self::new(name, label, Kind::Url(crate::endpoint::base_url)) }
    }

    /// Text of at most 255 characters.
    pub const fn text(name: &'static str, label: &'static str) -> Self {
        Self { max_length: Some(255), ..Self::new(name, label, Kind::Text(checks::label)) }
    }

    /// A token that is sent in a header.
    pub const fn secret(name: &'static str, label: &'static str) -> Self {
        Self {
            step: Step::Credentials,
            max_length: Some(checks::MAX_SECRET),
            pattern: Some("^[!-~]+$"),
            ..Self::new(name, label, Kind::Secret(checks::token))
        }
    }

    /// A URL that is a secret.
    pub const fn secret_url(name: &'static str, label: &'static str, read: fn(&str) -> Checked) -> Self {
        Self { step: Step::Where, max_length: Some(2048), ..Self::new(name, label, Kind::SecretUrl(read)) }
    }

    /// Headers of a person's own.
    pub const fn headers(name: &'static str, label: &'static str) -> Self {
        Self { max_length: Some(headers::MAX_BYTES), ..Self::new(name, label, Kind::Headers) }
    }

    /// Yes or no.
    pub const fn flag(name: &'static str, label: &'static str, default: bool) -> Self {
        Self { default: Some(if default { "true" } else { "false" }), ..Self::new(name, label, Kind::Flag) }
    }

    /// A whole number.
    pub const fn number(name: &'static str, label: &'static str, min: u64, max: u64) -> Self {
        Self::new(name, label, Kind::Number { min, max })
    }

    /// One of several words, each with what it is called.
    pub const fn choice(
        name: &'static str,
        label: &'static str,
        words: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self::new(name, label, Kind::Choice { words, read: None })
    }

    /// The same, required.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same with a default.
    #[must_use]
    pub const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// The same with what it does.
    #[must_use]
    pub const fn help(self, help: &'static str) -> Self {
        Self { help, ..self }
    }

    /// The same with what stands beside it in the form.
    #[must_use]
    pub const fn hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    /// The same at another place of the form.
    #[must_use]
    pub const fn step(self, step: Step) -> Self {
        Self { step, ..self }
    }

    /// The same, for which another value is another target.
    #[must_use]
    pub const fn target(self) -> Self {
        Self { target: true, ..self }
    }

    /// The same beside a choice only.
    #[must_use]
    pub const fn when(self, choice: &'static str, word: &'static str) -> Self {
        Self { when: Some(When { choice, word }), ..self }
    }

    /// The same, which may be absent beside these words of a choice.
    #[must_use]
    pub const fn unless(self, choice: &'static str, words: &'static [&'static str]) -> Self {
        Self { unless: Some(Unless { choice, words }), ..self }
    }

    /// The same with another option at the command line.
    #[must_use]
    pub const fn option(self, option: &'static str) -> Self {
        Self { option: Some(option), ..self }
    }

    /// The same, whose text is read by a function of its own.
    ///
    /// # Panics
    /// If that would change what it is: a token has [`Self::read_secret`], and a yes or no, a number and headers are no text.
    #[must_use]
    pub const fn read(self, read: fn(&str) -> Checked) -> Self {
        let kind = match self.kind {
            Kind::Text(_) => Kind::Text(read),
            Kind::Url(_) => Kind::Url(read),
            Kind::Choice { words, .. } => Kind::Choice { words, read: Some(read) },
            Kind::Pem(_) => Kind::Pem(read),
            Kind::SecretUrl(_) => Kind::SecretUrl(read),
            Kind::Secret(_) | Kind::Flag | Kind::Number { .. } | Kind::Headers => {
                panic!("`read` is for texts that may be shown")
            }
        };
        Self { kind, ..self }
    }

    /// The same as a secret text, read by a function of its own.
    #[must_use]
    pub const fn read_secret(self, read: fn(&str) -> Checked<SecretString>) -> Self {
        Self { kind: Kind::Secret(read), ..self }
    }

    /// The same with limits of its text.
    #[must_use]
    pub const fn limits(self, max_length: usize, pattern: Option<&'static str>) -> Self {
        Self { max_length: Some(max_length), pattern, ..self }
    }

    /// Whether it may be absent beside these settings, as a choice among them says.
    pub fn may_be_absent(&self, config: &Map<String, Value>) -> bool {
        let chosen = |unless: Unless| unless.words.contains(&config.get(unless.choice)?.as_str()?).then_some(());
        self.unless.and_then(chosen).is_some()
    }

    /// Whether a connector with these settings cannot be without it.
    pub fn is_required(&self, config: &Map<String, Value>) -> bool {
        self.required && !self.may_be_absent(config)
    }

    /// Whether no connector can be without it.
    pub fn is_always_required(&self) -> bool {
        self.required && self.unless.is_none()
    }

    /// Whether it is the key of a certificate, which spans lines.
    pub fn is_private_key(&self) -> bool {
        self.name == "tls_client_key"
    }

    /// Whether it is never shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret(_) | Kind::SecretUrl(_) | Kind::Headers)
    }

    /// What answers say of `secret`, which is its value.
    pub fn view(&self, secret: &SecretString) -> SecretView {
        match self.kind {
            Kind::Headers => headers::view(secret),
            Kind::SecretUrl(_) => SecretView { origin: endpoint::origin(secret), ..SecretView::of(secret) },
            _ => SecretView::of(secret),
        }
    }

    /// Every form in which `secret`, which is its value, travels.
    pub fn forms(&self, secret: &SecretString) -> Vec<String> {
        match self.kind {
            Kind::Headers => headers::forms(secret).collect(),
            Kind::SecretUrl(_) => endpoint::secret_forms(secret),
            _ => vec![secret.expose_secret().to_owned()],
        }
    }

    /// Its default with these settings, as a member of `config`: an empty text if it may be absent.
    pub fn default_beside(&self, config: &Map<String, Value>) -> Option<Value> {
        let default = self.default_value()?;
        Some(if self.may_be_absent(config) { "".into() } else { default })
    }

    /// Its default as a member of `config`.
    pub fn default_value(&self) -> Option<Value> {
        let text = self.default?;
        Some(match self.kind {
            Kind::Flag => Value::from(text == "true"),
            Kind::Number { .. } => text.parse::<u64>().map_or(Value::Null, Value::from),
            _ => Value::from(text),
        })
    }

    /// Whether two values of it mean the same. Certificates that were stored before they were kept in one form may be spelled in another.
    pub(crate) fn same(&self, one: Option<&Value>, other: Option<&Value>) -> bool {
        let (Kind::Pem(read), Some(Value::String(a)), Some(Value::String(b))) = (self.kind, one, other) else {
            return one == other;
        };
        a == b || read(a).is_ok_and(|a| read(b).is_ok_and(|b| a == b))
    }

    /// The variable that gives it to the environment's connector of a platform.
    pub fn variable(&self, platform: PlatformId) -> String {
        format!("SIEM_{platform}_{}", self.name.replace('.', "_")).to_ascii_uppercase()
    }

    /// Its option at the command line, without the dashes: by its name, negated where it is on by default, and the name of a file where it
    /// is a secret.
    pub fn command_line_option(&self) -> String {
        if let Some(option) = self.option {
            return option.to_owned();
        }
        let plain = self.name.replace(['_', '.'], "-");
        match self.kind {
            _ if self.is_secret() => format!("{plain}-file"),
            Kind::Flag if self.default == Some("true") => format!("no-{plain}"),
            _ => plain,
        }
    }

    /// The name of its input in the form, and the id of it. What all platforms have is called like the setting.
    pub fn input_name(&self, platform: Option<PlatformId>) -> String {
        match platform {
            Some(platform) => format!("{platform}_{}", self.input.unwrap_or(self.name).replace('.', "_")),
            None => self.name.to_owned(),
        }
    }

    /// What limits its values, as `GET /v1/siem/platforms` tells it.
    pub fn limits_told(&self) -> Value {
        let mut limits = serde_json::Map::new();
        match self.kind {
            Kind::Number { min, max } => {
                limits.insert("minimum".to_owned(), min.into());
                limits.insert("maximum".to_owned(), max.into());
            }
            Kind::Choice { words, .. } => {
                limits.insert("values".to_owned(), words.iter().map(|(word, _)| *word).collect());
            }
            _ => {}
        }
        limits.extend(self.max_length.map(|most| ("max_length".to_owned(), most.into())));
        limits.extend(self.pattern.map(|pattern| ("pattern".to_owned(), pattern.into())));
        Value::Object(limits)
    }
}

#[cfg(test)]
mod tests;
