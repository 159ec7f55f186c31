//! Reads what people paste: a URL with its path or with user name and password, a Cloud ID, the address of a platform's pages, an example of a
//! request, an answer that holds a credential, a part of another program's configuration, certificates and keys, a bare token. Each value goes
//! into the setting it belongs to, so that no credential stays in the URL.
//!
//! Several small readers turn a text into one form ([`Pasted`]). The platform takes out what it knows, and the rest is named to the person who
//! pasted it. Nothing is run or dialled, and every reader looks at each character a bounded number of times.

use toktra_siem_core::fault::shown;
use toktra_siem_core::ids::PlatformId;

pub use self::pasted::{Means, Pasted};
use crate::descriptor::{Checked, Field, Kind, Step};
use crate::registry::{Platform, Registry};
use crate::{common, pem};

mod curl;
mod lines;
mod pasted;
mod requests;
mod settings;
mod shell;
mod text;

/// The longest text, without what it holds of certificates and keys.
const LONGEST: usize = 16 * 1024;
/// The longest text of all.
const LONGEST_WITH_PEM: usize = LONGEST + pem::MAX_CERTIFICATES + pem::MAX_KEY;

/// What a text says: values by the name of their setting, or of the form's choice. The setting that it was typed into is among them where its
/// value is another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Understood {
    /// Values by the name of the setting.
    pub fields: Vec<(&'static str, String)>,
    /// What was found, for whoever pasted it; no values.
    pub found: Vec<&'static str>,
    /// Parts of the text that belong to no setting. Never holds values.
    pub not_understood: Vec<String>,
}

impl Understood {
    fn put(&mut self, name: &'static str, value: impl Into<String>) {
        self.fields.retain(|(other, _)| *other != name);
        self.fields.push((name, value.into()));
    }

    /// Whether a value of this setting was found.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(other, value)| *other == name && !value.is_empty())
    }

    /// Whether this value of a setting was found, or one that it is a longer form of.
    fn says(&self, name: &str, value: &str) -> bool {
        self.fields.iter().any(|(other, said)| *other == name && value.contains(said.as_str()))
    }

    /// The value of a setting was found.
    pub fn setting(&mut self, name: &'static str, value: impl Into<String>, what: &'static str) {
        self.put(name, value);
        self.note(what);
    }

    /// The same for what authorises requests. A placeholder is none, and named as such.
    pub fn secret(&mut self, name: &'static str, value: impl Into<String>, what: &'static str) {
        let value = value.into();
        if text::is_placeholder(&value) {
            self.found.retain(|found| *found != what);
            self.open(what, &value);
        } else {
            self.setting(name, value, what);
        }
    }

    /// User name and password, which a choice stands for.
    pub fn login(&mut self, choice: &'static str, name: String, password: String) {
        if password.is_empty() {
            return self.refuse("a user name without its password");
        }
        self.choose(choice, "password");
        self.secret("username", name, "user name and password");
        self.secret("password", password, "user name and password");
    }

    /// The value of a setting, or why it is none.
    pub fn checked(&mut self, name: &'static str, value: Checked, what: &'static str) -> bool {
        match value {
            Ok(value) => {
                self.setting(name, value, what);
                true
            }
            Err(why) => {
                self.refuse(format!("{what}: it {why}"));
                false
            }
        }
    }

    /// An address that stands under some name, or a placeholder in its place.
    pub fn address(&mut self, name: &'static str, text: &str, read: fn(&str) -> Checked, what: &'static str) {
        if text::has_placeholder(text) {
            self.refuse(format!("{what}: it has a placeholder in it, put your own host in its place"));
        } else {
            self.checked(name, read(text), what);
        }
    }

    /// What a setting's own reader makes of a value that stands under another name.
    fn read(&mut self, field: &Field, value: &str, from: &str) {
        if text::is_placeholder(value) || (matches!(field.kind, Kind::Url(_)) && text::has_placeholder(value)) {
            return self.open(from, value);
        }
        let read = match field.kind {
            Kind::Url(read) | Kind::Text(read) | Kind::Pem(read) | Kind::SecretUrl(read) => read(value),
            Kind::Choice { words, read } => match read {
                Some(read) => read(value),
                None if words.iter().any(|(word, _)| *word == value) => Ok(value.to_owned()),
                None => Err("is not one of the words that it may be".to_owned()),
            },
            Kind::Secret(read) => read(value).map(|_| value.trim().to_owned()),
            Kind::Flag => match value.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok("on".to_owned()),
                "false" | "no" | "off" | "0" => Ok(String::new()),
                _ => Err("is neither true nor false".to_owned()),
            },
            Kind::Number { min, max } => match value.parse() {
                Ok(number) if (min..=max).contains(&number) => Ok(value.to_owned()),
                _ => Err(format!("must be a whole number from {min} to {max}")),
            },
            Kind::Headers => Ok(value.to_owned()),
        };
        match read {
            Ok(value) => self.setting(field.name, value, field.label),
            Err(why) => self.refuse(format!("{from}: it {why}")),
        }
    }

    /// A placeholder stands in the place of a value. It is repeated only if it cannot be a value itself.
    fn open(&mut self, what: &str, value: &str) {
        let inner = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "_${}".contains(c);
        let plain = value.starts_with(['<', '{', '%', '[']) || value.chars().all(inner);
        let value = if plain { format!("`{}`", shown(value)) } else { "what stands there".to_owned() };
        self.refuse(format!("{what}: {value} is a placeholder, put the value itself in its place"));
    }

    /// Something is understood and cannot be used, for a reason that stands in it. It must not hold a value.
    pub fn refuse(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.not_understood.contains(&what) {
            self.not_understood.push(what);
        }
    }

    /// A word of a choice follows.
    pub fn choose(&mut self, choice: &'static str, word: &'static str) {
        self.put(choice, word);
    }

    /// A setting is not needed then.
    pub fn clear(&mut self, name: &'static str) {
        self.put(name, "");
    }

    fn note(&mut self, what: &'static str) {
        if !self.found.contains(&what) {
            self.found.push(what);
        }
    }

    /// What was found, in a sentence.
    pub fn sentence(&self) -> Option<String> {
        let (last, before) = self.found.split_last()?;
        let listed = if before.is_empty() { (*last).to_owned() } else { format!("{} and {last}", before.join(", ")) };
        Some(format!("Understood from what you pasted: {listed}."))
    }
}

/// The setting that says where the SIEM is, which people paste into: the first URL.
pub fn address(fields: &[Field]) -> Option<&Field> {
    fields
        .iter()
        .find(|field| matches!(field.kind, Kind::Url(_)) && field.step == Step::Where && field.shares.is_none())
}

impl Registry {
    /// Reads what was pasted.
    pub fn understand(&self, platform: PlatformId, text: &str) -> Understood {
        let mut understood = Understood::default();
        let Some(platform) = self.get(platform).filter(|_| !text.trim().is_empty()) else { return understood };
        let Some(pasted) = read(text) else {
            let longest = LONGEST / 1024;
            understood.refuse(format!(
                "the text: it is longer than {longest} KiB beside certificates; paste the part that names the SIEM"
            ));
            return understood;
        };
        let mut mine = pasted.clone();
        let meant = platform.is_meant(&mine);
        let others: Vec<&dyn Platform> = self
            .descriptors()
            .filter(|other| other.id != platform.descriptor().id)
            .filter_map(|other| self.get(other.id))
            .collect();
        if let Some(other) = others.iter().find(|other| !meant && other.is_meant(&mine)) {
            let label = other.descriptor().label;
            understood.refuse(format!(
                "the text: it looks like one for {label}; choose {label} as the platform, and paste it there"
            ));
            return understood;
        }
        for other in others.iter().map(|other| other.descriptor()) {
            if mine.take_foreign(other.signs, platform.descriptor().signs) > 0 {
                understood.refuse(format!(
                    "what is meant for {0}: choose {0} as the platform, and paste it there",
                    other.label
                ));
            }
        }
        mine.take_own(platform.descriptor(), &mut understood);
        common::understand(&mut mine, &mut understood);
        platform.understand(&mut mine, &mut understood);
        common::understand_the_rest(&mut mine, &mut understood);
        for rest in mine.rest(understood.found.is_empty() && understood.not_understood.is_empty()) {
            understood.refuse(rest);
        }
        if understood.found.is_empty() && understood.not_understood.is_empty() {
            understood.refuse(pasted::NOTHING);
        }
        understood
    }
}

/// A text, taken apart; none if it is too long.
fn read(text: &str) -> Option<Pasted> {
    if text.len() > LONGEST_WITH_PEM {
        return None;
    }
    let text = text::plain(text);
    let spans = pem::spans(&text);
    let without = text::without(&text, &spans);
    if without.len() > LONGEST {
        return None;
    }
    let blocks = spans.into_iter().map(|span| text[span].to_owned()).collect();
    let mut pasted = Pasted { blocks, ..Pasted::default() };
    lines::read(&without, &mut pasted);
    Some(pasted)
}

#[cfg(test)]
mod tests;
