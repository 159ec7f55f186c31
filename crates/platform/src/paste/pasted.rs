//! What was pasted, taken apart: where a request goes, what authorises it, headers, settings by name, certificates and keys, and bare words.
//! Platforms take out what they know ([`crate::registry::Platform::understand`]); what is left is named to whoever pasted it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT as BASE64;
use url::Url;

use super::settings::Setting;
use super::{Understood, address, text};
use crate::descriptor::{Descriptor, Field, Kind};

/// Headers that say nothing of a connector.
const PLAIN_HEADERS: [&str; 10] = [
    "content-type",
    "accept",
    "user-agent",
    "content-encoding",
    "accept-encoding",
    "host",
    "content-length",
    "connection",
    "cache-control",
    "expect",
];

/// What a name in a snippet of somebody else's configuration means.
#[derive(Debug, Clone, Copy)]
pub enum Means {
    /// The value of this setting.
    Setting(&'static str),
    /// It cannot be used, for this reason.
    Unusable(&'static str),
    /// It says nothing of a connector.
    Nothing,
}

/// What a text says of a connector.
#[derive(Debug, Clone, Default)]
pub struct Pasted {
    pub(super) url: Option<Url>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) user: Option<(String, String)>,
    pub(super) settings: Vec<Setting>,
    /// Blocks of PEM, which are cut out of the text.
    pub(super) blocks: Vec<String>,
    pub(super) words: Vec<String>,
    /// The address has a placeholder in it.
    pub(super) address_is_open: bool,
    /// What no setting takes.
    pub(super) left: Vec<&'static str>,
    /// There are more settings than were read.
    pub(super) more: bool,
}

impl Pasted {
    /// Where the request goes, without user name and password.
    pub fn url(&self) -> Option<&Url> {
        self.url.as_ref()
    }

    /// The same, taken out. A word that stands alone may be the name of a host.
    pub fn take_url(&mut self) -> Option<Url> {
        if self.url.is_none()
            && let [word] = self.words.as_slice()
            && self.settings.is_empty()
            && self.headers.is_empty()
        {
            let word = word.clone();
            if self.address(&word) {
                self.words.clear();
            }
        }
        self.url.take()
    }

    /// The value of a header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().rev().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The same, taken out.
    pub fn take_header(&mut self, name: &str) -> Option<String> {
        let value = self.header(name)?.to_owned();
        self.headers.retain(|(header, _)| header != name);
        Some(value)
    }

    /// Every header that says something of a connector, taken out: one `name: value` a line, the names without capitals. Placeholders stay.
    pub fn take_headers(&mut self) -> String {
        let is_own = |(name, value): &(String, String)| {
            !PLAIN_HEADERS.contains(&name.as_str())
                && !text::is_placeholder(value.rsplit(' ').next().unwrap_or_default())
        };
        let (own, rest) = std::mem::take(&mut self.headers).into_iter().partition::<Vec<_>, _>(is_own);
        self.headers = rest;
        own.into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
    }

    /// What stands in the `Authorization` header behind a scheme, which is given in small letters.
    pub fn authorization(&self, scheme: &str) -> Option<&str> {
        let (said, rest) = self.header("authorization")?.split_once(' ')?;
        (said.eq_ignore_ascii_case(scheme) && !rest.trim().is_empty()).then_some(rest.trim())
    }

    /// The same, taken out. It may stand there as two words, without the name of the header.
    pub fn take_authorization(&mut self, scheme: &str) -> Option<String> {
        if let Some(value) = self.authorization(scheme).map(str::to_owned) {
            self.headers.retain(|(header, _)| header != "authorization");
            return Some(value);
        }
        let at = self.words.windows(2).position(|pair| pair[0].eq_ignore_ascii_case(scheme))?;
        self.words.drain(at..at + 2).nth(1)
    }

    /// Whether it is authorised by this scheme, also as two words.
    pub fn says_scheme(&self, scheme: &str) -> bool {
        self.authorization(scheme).is_some() || self.words.windows(2).any(|pair| pair[0].eq_ignore_ascii_case(scheme))
    }

    /// User name and password, from the URL, an option, or a header, taken out.
    pub fn take_user(&mut self) -> Option<(String, String)> {
        if let Some(user) = self.user.take() {
            return Some(user);
        }
        let decoded = BASE64.decode(self.authorization("basic")?).ok()?;
        let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        let user = (name.to_owned(), password.to_owned());
        self.headers.retain(|(header, _)| header != "authorization");
        Some(user)
    }

    /// The first word of this kind, taken out.
    pub fn take_word(&mut self, is: impl Fn(&str) -> bool) -> Option<String> {
        let at = self.words.iter().position(|word| is(word))?;
        Some(self.words.remove(at))
    }

    /// Whether a word of this kind stands there.
    pub fn has_word(&self, is: impl Fn(&str) -> bool) -> bool {
        self.words.iter().any(|word| is(word))
    }

    /// Whether a setting has one of these names, or a part of a name that is one of these words.
    pub fn mentions(&self, words: &[&str]) -> bool {
        self.settings
            .iter()
            .any(|setting| mentions(&setting.name, words) || is_kind(setting) && mentions(&setting.value, words))
    }

    /// Whether there is a setting of one of these names.
    pub fn has(&self, names: &[&str]) -> bool {
        self.settings.iter().any(|setting| names.iter().any(|name| is_named(&setting.name, name)))
    }

    /// Whether some setting has a value of this kind.
    pub fn any_value(&self, is: impl Fn(&str) -> bool) -> bool {
        self.settings.iter().any(|setting| is(&setting.value))
    }

    /// Takes out every setting whose value is of this kind; whether there was one.
    pub fn take_value(&mut self, is: impl Fn(&str) -> bool) -> bool {
        let before = self.settings.len();
        self.settings.retain(|setting| !is(&setting.value));
        self.settings.len() < before
    }

    /// The address that host, port and the switch for TLS make together, taken out. The host has a port beside it, or its section is one of
    /// those that the words tell of.
    pub fn take_endpoint(&mut self, hosts: &[&str], ports: &[&str], tls: &[&str], words: &[&str]) -> Option<String> {
        if !self.has(hosts) || !(self.has(ports) || self.mentions(words)) {
            return None;
        }
        let host = self.take_one(hosts)?;
        let (port, tls) = (self.take_one(ports), self.take_one(tls));
        if host.contains("://") {
            return Some(host);
        }
        let plain = tls.is_some_and(|tls| ["off", "false", "no", "0"].contains(&tls.to_ascii_lowercase().as_str()));
        let port = port.filter(|_| !host.contains(':')).map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}://{host}{port}", if plain { "http" } else { "https" }))
    }

    /// The value of the first setting of one of these names, taken out; the others of that name as well, if it is a list. A name counts also
    /// below others: `hosts` is `output.hosts`.
    pub fn take(&mut self, names: &[&str]) -> Vec<String> {
        for name in names {
            let Some(first) = self.settings.iter().find(|setting| is_named(&setting.name, name)) else { continue };
            let full = first.name.clone();
            let (taken, rest) =
                std::mem::take(&mut self.settings).into_iter().partition::<Vec<_>, _>(|s| s.name == full);
            self.settings = rest;
            return taken.into_iter().map(|setting| setting.value).filter(|value| !value.is_empty()).collect();
        }
        Vec::new()
    }

    /// The same, where one value is wanted.
    pub fn take_one(&mut self, names: &[&str]) -> Option<String> {
        self.take(names).into_iter().next()
    }

    /// Takes what a table tells of. Each value goes through the reader of its setting, which may refuse it.
    pub fn take_known(&mut self, table: &[(&str, Means)], descriptor: &Descriptor, understood: &mut Understood) {
        for (name, means) in table {
            while let Some(setting) = self.settings.iter().find(|setting| is_named(&setting.name, name)) {
                let full = setting.name.clone();
                let values = self.take(&[&full]);
                match *means {
                    Means::Nothing => {}
                    Means::Unusable(why) => understood.refuse(format!("{}: {why}", named(&full))),
                    Means::Setting(into) => {
                        let Some(field) = descriptor.field(into) else { break };
                        match values.first() {
                            Some(value) if !understood.has(into) => understood.read(field, value, &named(&full)),
                            Some(value) if !understood.says(into, value) => {
                                understood.refuse(format!("{}: another value counts", named(&full)));
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }

    /// Settings under our own names that nobody else means otherwise: members of an object (`search.token`), and variables of the environment.
    pub(super) fn take_own(&mut self, descriptor: &Descriptor, understood: &mut Understood) {
        let own = descriptor.fields.iter().flat_map(|field| {
            let inner = field.name.contains('.').then(|| field.name.to_owned());
            inner.into_iter().chain([field.variable(descriptor.id).to_lowercase()]).map(|name| (name, field.name))
        });
        let own: Vec<(String, &'static str)> = own.collect();
        let own: Vec<(&str, Means)> = own.iter().map(|(name, field)| (name.as_str(), Means::Setting(field))).collect();
        self.take_known(&own, descriptor, understood);
    }

    /// Puts the address into the first URL setting, and a bearer token into the first secret.
    pub fn plainly(&mut self, descriptor: &Descriptor, understood: &mut Understood) {
        let secret = descriptor.fields.iter().find(|field| matches!(field.kind, Kind::Secret(_)));
        if let Some(field) = secret
            && let Some(token) = self.take_authorization("bearer")
        {
            understood.secret(field.name, token, field.label);
        }
        let own: Vec<(&str, Means)> =
            descriptor.fields.iter().map(|field| (field.name, Means::Setting(field.name))).collect();
        self.take_known(&own, descriptor, understood);
        let address = address(&descriptor.fields).filter(|field| !understood.has(field.name));
        if let Some(Field { name, label, kind: Kind::Url(read), .. }) = address
            && let Some(url) = self.take_url()
        {
            understood.checked(name, read(url.as_str()), label);
        }
    }

    /// The blocks of PEM that stand under a setting of this name, taken out, together.
    pub fn take_blocks(&mut self, names: &[&str]) -> String {
        let mut pem = String::new();
        let has_one = |setting: &Setting| {
            let meant = names.iter().any(|name| is_named(&setting.name, name));
            meant && setting.value.contains(|c| text::signified(c).is_some())
        };
        for setting in self.settings.iter().filter(|setting| has_one(setting)) {
            let numbers = setting.value.chars().filter_map(text::signified);
            pem.extend(numbers.filter_map(|at| self.blocks.get(at)).map(String::as_str));
        }
        self.settings.retain(|setting| !has_one(setting));
        pem
    }

    /// Every block of PEM that nothing took.
    pub(crate) fn rest_of_blocks(&mut self) -> String {
        let words =
            self.words.iter().map(String::as_str).chain(self.settings.iter().map(|setting| setting.value.as_str()));
        let left = words.flat_map(str::chars).filter_map(text::signified).filter_map(|at| self.blocks.get(at));
        let pem = left.map(String::as_str).collect::<Vec<_>>().join("\n");
        let has_sign = |text: &str| text.contains(|c| text::signified(c).is_some());
        self.settings.retain(|setting| !has_sign(&setting.value));
        self.words.retain(|word| !has_sign(word));
        pem
    }

    /// Takes an address; the first one counts. Its user name and password, if any, are taken out of it. False if it is none.
    pub(super) fn address(&mut self, text: &str) -> bool {
        let text = text.trim_matches(['"', '\'', '`', '<', '>', ',', ';', '(', ')']);
        if text::has_placeholder(text) && self.url.is_none() {
            self.address_is_open = true;
            return true;
        }
        let absolute = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let Ok(mut url) = Url::parse(&absolute) else { return false };
        // The parser would read these as something else; they are no part of an address.
        let strange = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
        if !matches!(url.scheme(), "http" | "https") || text.contains(strange) || !is_host(&url) {
            return false;
        }
        if self.url.is_some() {
            self.leave("a second URL: the first one counts");
            return true;
        }
        if !url.username().is_empty() || url.password().is_some() {
            let decoded = |text: &str| {
                url::form_urlencoded::parse(text.replace('+', "%2B").as_bytes())
                    .next()
                    .map(|(text, _)| text.into_owned())
            };
            let (name, password) = (decoded(url.username()), url.password().and_then(decoded));
            if self.user.is_none() {
                self.user = Some((name.unwrap_or_default(), password.unwrap_or_default()));
            }
            if url.set_username("").is_err() || url.set_password(None).is_err() {
                return false;
            }
        }
        self.url = Some(url);
        true
    }

    /// Something that no setting takes.
    pub(super) fn leave(&mut self, what: &'static str) {
        if !self.left.contains(&what) {
            self.left.push(what);
        }
    }

    /// Takes out the settings below those that mention these words, and none of the others; answers how many.
    pub(super) fn take_foreign(&mut self, theirs: &[&str], ours: &[&str]) -> usize {
        let kinds = self.settings.iter().filter(|setting| is_kind(setting) && mentions(&setting.value, theirs));
        let above = kinds.filter_map(|setting| Some(format!("{}.", setting.name.rsplit_once('.')?.0)));
        let groups: Vec<String> = above.filter(|above| !mentions(above, ours)).take(20).collect();
        let before = self.settings.len();
        self.settings.retain(|setting| {
            let foreign =
                groups.iter().any(|group| setting.name.starts_with(group.as_str())) || mentions(&setting.name, theirs);
            !foreign || mentions(&setting.name, ours)
        });
        before - self.settings.len()
    }

    /// What nothing took, in words.
    pub(super) fn rest(self, nothing: bool) -> Vec<String> {
        let mut left: Vec<String> = self.left.iter().map(|left| (*left).to_owned()).collect();
        if self.address_is_open {
            left.push("the URL: it has a placeholder in it, put your own host in its place".to_owned());
        } else if self.url.is_some() {
            left.push("the URL".to_owned());
        }
        let own = |(name, _): &&(String, String)| !PLAIN_HEADERS.contains(&name.as_str());
        for (name, value) in self.headers.iter().filter(own) {
            let open = text::is_placeholder(value.rsplit(' ').next().unwrap_or_default());
            let why = if open { ": its value is a placeholder, put the value itself in its place" } else { "" };
            left.push(match as_name(name) {
                Some(name) => format!("the header {name}{why}"),
                None => format!("a header{why}"),
            });
        }
        if self.user.is_some() {
            left.push("user name and password".to_owned());
        }
        let mut settings: Vec<String> = Vec::new();
        for setting in self.settings.iter().filter(|setting| !setting.name.is_empty()) {
            let name = named(&setting.name);
            if !settings.contains(&name) {
                settings.push(name);
            }
        }
        let (all, words) =
            (settings.len(), self.words.len() + self.settings.iter().filter(|s| s.name.is_empty()).count());
        left.extend(settings.into_iter().take(MOST_NAMED));
        if all > MOST_NAMED || self.more {
            left.push(if self.more {
                "further settings".to_owned()
            } else {
                format!("{} more settings", all - MOST_NAMED)
            });
        }
        match words {
            0 => {}
            _ if nothing && left.is_empty() => {
                left.push(NOTHING.to_owned());
            }
            1 => left.push("a word beside it".to_owned()),
            many => left.push(format!("{many} words beside it")),
        }
        left
    }
}

/// What is said of a text of which nothing is understood.
pub(super) const NOTHING: &str =
    "the text: it is no URL, no example of a request, no credential and no configuration that is known here";
/// As many settings are named one by one.
const MOST_NAMED: usize = 8;

/// A setting by its name, if that is one that tells nothing else.
fn named(name: &str) -> String {
    as_name(name).map_or_else(|| "a setting".to_owned(), |name| format!("the setting `{name}`"))
}

/// The text if it is a name, and nothing that may be a secret.
fn as_name(text: &str) -> Option<&str> {
    let part = |part: &str| part.len() <= 32 && part.bytes().filter(u8::is_ascii_digit).count() <= 3;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-/ ".contains(&b);
    (text.len() <= 100 && text.bytes().all(plain) && text.split(['.', '_', '-', '/', ' ']).all(part)).then_some(text)
}

/// Whether a setting of this full name is meant: all of it, or its end, part by part.
fn is_named(full: &str, name: &str) -> bool {
    full.strip_suffix(name).is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// Whether one of the words is a part of the name.
fn mentions(name: &str, words: &[&str]) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)))
}

/// Whether a setting says what kind of thing the others beside it are for.
fn is_kind(setting: &Setting) -> bool {
    ["type", "name", "@type", "output"].iter().any(|kind| is_named(&setting.name, kind))
}

/// Whether the host is one that a name server or an address could be. The parser takes quotes and the like as well; a second reading would
/// take them for what stands around an address.
fn is_host(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let plain = host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]%".contains(c));
        plain && host.len() <= 253 && host.split('.').all(|label| label.len() <= 63)
    })
}
