//! The inputs of the form, made of what the platforms tell of their settings: from it the form is shown, read, and told what is wrong with it.

use toktra_siem_core::ids::PlatformId;
use toktra_siem_platform::descriptor::{Field, FormChoice, Kind};
use toktra_siem_platform::{Descriptor, Registry, group, paste};

/// An input of the form, which is a member of `config`.
#[derive(Debug, Clone)]
pub struct Input<'r> {
    /// Whose setting it is; `None` where all platforms have it.
    pub platform: Option<&'r Descriptor>,
    /// The setting.
    pub field: &'r Field,
    /// Its name in the form, and its id.
    pub name: String,
}

/// Whether what is typed is meant for a setting.
type Meant = fn(&str) -> bool;

impl<'r> Input<'r> {
    fn new(platform: Option<&'r Descriptor>, field: &'r Field) -> Self {
        Self { platform, field, name: field.input_name(platform.map(|platform| platform.id)) }
    }

    /// The setting that is typed into it as well, where what is typed is meant for that.
    pub fn shared(&self) -> Option<(&'r Field, Meant)> {
        let fields = &self.platform?.fields;
        fields.iter().find_map(|field| {
            let shares = field.shares.filter(|shares| shares.with == self.field.name)?;
            Some((field, shares.meant))
        })
    }

    /// The words that the form adds to its own.
    pub fn added(&self) -> &'static [(&'static str, &'static str)] {
        let choices = self.platform.map_or(&[][..], |platform| &platform.choices);
        choices.iter().find(|choice| choice.name == self.field.name).map_or(&[], |choice| choice.words)
    }

    /// Whether it may be absent beside what is chosen in a form, which tells what stands in an input.
    pub fn may_be_absent<'f>(&self, typed: impl Fn(&str) -> &'f str) -> bool {
        let chosen = |platform, choice| typed(&choice_name(platform, choice));
        let unless = self.field.unless.zip(self.platform);
        unless.is_some_and(|(unless, platform)| unless.words.contains(&chosen(platform, unless.choice)))
    }

    /// The choice beside which it counts, by the name of its input, and the word that has to be chosen there.
    pub fn when(&self) -> Option<(String, &'static str)> {
        let when = self.field.when?;
        Some((choice_name(self.platform?, when.choice), when.word))
    }
}

/// The name of the input of a choice, which may be a setting.
pub fn choice_name(platform: &Descriptor, choice: &str) -> String {
    match platform.field(choice) {
        Some(field) => field.input_name(Some(platform.id)),
        None => format!("{}_{choice}", platform.id),
    }
}

/// The choices of a platform that are no settings.
pub fn choices(platform: &Descriptor) -> impl Iterator<Item = &FormChoice> {
    platform.choices.iter().filter(|choice| platform.field(choice.name).is_none())
}

/// The settings that count beside a word of a choice.
pub fn beside<'r>(platform: &'r Descriptor, choice: &str, word: &str) -> impl Iterator<Item = &'r Field> {
    let counts = move |field: &&Field| field.when.is_some_and(|when| when.choice == choice && when.word == word);
    platform.fields.iter().filter(counts)
}

/// The inputs that only this platform has.
pub fn own(platform: &Descriptor) -> impl Iterator<Item = Input<'_>> {
    platform.fields.iter().filter(|field| field.shares.is_none()).map(|field| Input::new(Some(platform), field))
}

/// What all platforms have.
pub fn common(registry: &Registry) -> impl Iterator<Item = Input<'_>> {
    registry.common().iter().map(|field| Input::new(None, field))
}

/// All of a platform's inputs.
pub fn of(registry: &Registry, platform: PlatformId) -> impl Iterator<Item = Input<'_>> {
    registry.descriptor(platform).into_iter().flat_map(own).chain(common(registry))
}

/// All inputs that there are. What all platforms have comes once for each.
pub fn all(registry: &Registry) -> impl Iterator<Item = Input<'_>> {
    registry.descriptors().flat_map(own).chain(common(registry))
}

/// The input that says where the SIEM is.
pub fn address(registry: &Registry, platform: PlatformId) -> Option<Input<'_>> {
    let platform = registry.descriptor(platform)?;
    paste::address(&platform.fields).map(|field| Input::new(Some(platform), field))
}

/// The input that a fault at `pointer` belongs to, in a form for `platform`.
pub fn at(registry: &Registry, platform: PlatformId, pointer: &str) -> Option<String> {
    match pointer {
        "/name" | "/platform" | "/signing_secret" => return Some(pointer[1..].to_owned()),
        _ if pointer.starts_with("/filter") => return Some("filter".to_owned()),
        _ => {}
    }
    let member = group::at(pointer.strip_prefix("/config/")?);
    let field = registry.field(platform, &member)?;
    let name = field.shares.map_or(&*member, |shares| shares.with);
    of(registry, platform).find(|input| input.field.name == name).map(|input| input.name)
}

/// `text` of the API in the form's own words: a setting that it names is called by its label.
pub fn in_labels(registry: &Registry, platform: PlatformId, text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let (mut said, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find(is_part) {
        said.push_str(&rest[..start]);
        rest = &rest[start..];
        let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        let word = word.trim_end_matches('.');
        let word = if word.is_empty() { &rest[..1] } else { word };
        rest = &rest[word.len()..];
        let quoted = said.ends_with('`') && rest.starts_with('`');
        // A name that is a word of the language as well means the setting only if it is marked as one.
        let names = quoted || (word.contains(['_', '.']) && said.chars().last().is_none_or(|c| " (“".contains(c)));
        match registry.field(platform, word).filter(|_| names) {
            Some(field) => {
                if quoted {
                    said.pop();
                    rest = &rest[1..];
                }
                said.extend(["“", field.label, "”"]);
            }
            None => said.push_str(word),
        }
    }
    said + rest
}

/// Whether a setting has to be there where it counts: then it is sent as it is, so that the API says what has to stand there.
pub fn is_wanted(input: &Input<'_>) -> bool {
    let text = matches!(input.field.kind, Kind::Url(_) | Kind::SecretUrl(_) | Kind::Text(_) | Kind::Secret(_));
    input.field.required || (text && input.field.when.is_some()) || input.shared().is_some()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_names_a_setting_says_its_label() {
        let say = |text: &str| in_labels(&Registry::standard(), PlatformId::fixed("splunk"), text);
        assert_eq!(
            say("Give search.url and search.token, and a test delivery searches."),
            "Give “Management URL, for searching” and “Token, for searching”, and a test delivery searches."
        );
        assert_eq!(say("cannot stand beside `hec_token`."), "cannot stand beside “HEC token”.");
        assert_eq!(say("the index of `index` … ."), "the index of “Index” … .");
        for same in ["", "https://a.example/hec_token?x=hec_url", "an index. No field_of_ours.", "..", "ü`"] {
            assert_eq!(say(same), same);
        }
    }

    #[test]
    fn every_setting_has_an_input_of_its_own_and_every_fault_a_place() {
        let registry = Registry::standard();
        let mut names = HashSet::new();
        for input in all(&registry) {
            assert!(names.insert(input.name.clone()), "{}", input.name);
        }
        for platform in registry.ids() {
            for field in registry.fields(platform) {
                assert!(at(&registry, platform, &group::pointer(field.name)).is_some(), "{}", field.name);
            }
            assert_eq!(at(&registry, platform, "/filter/severity/0").as_deref(), Some("filter"));
            assert_eq!(at(&registry, platform, "/config/other"), None);
            let own = registry.descriptor(platform).into_iter().flat_map(own);
            assert!(own.into_iter().all(|input| input.name.starts_with(&format!("{platform}_"))));
            assert!(address(&registry, platform).is_some());
        }
    }
}
