//! What people paste into the input for the URL, understood: what belongs into other inputs is handed to them, so that no credential is left
//! in the URL. What a text says, each platform tells ([`toktra_siem_platform::paste`]).

use toktra_siem_core::ids::PlatformId;
use toktra_siem_platform::Registry;
use toktra_siem_platform::descriptor::Kind;

use super::fields;
use crate::form::Form;

/// What a text says, by the names of inputs; with what was found in a sentence and in words, and what was not understood.
pub struct Read {
    /// Values by the name of the input.
    pub fields: Vec<(String, String)>,
    /// What was found, in a sentence.
    pub said: Option<String>,
    /// What was found, item by item; no values.
    pub understood: Vec<&'static str>,
    /// What stands there and belongs into no input; no values.
    pub not_understood: Vec<String>,
}

/// Reads what was pasted.
pub fn read(registry: &Registry, platform: PlatformId, text: &str) -> Read {
    let understood = registry.understand(platform, text);
    let said = understood.sentence();
    let name = |setting: &str| {
        let platform = registry.descriptor(platform)?;
        Some(fields::choice_name(platform, setting))
    };
    let named = |(setting, value): (&str, String)| Some((name(setting)?, value));
    Read {
        fields: understood.fields.into_iter().filter_map(named).collect(),
        said,
        understood: understood.found,
        not_understood: understood.not_understood,
    }
}

/// The form with what its input for the URL says of other inputs. What was typed there goes first.
pub fn applied(registry: &Registry, platform: PlatformId, form: &Form) -> Form {
    let Some(address) = fields::address(registry, platform) else { return form.clone() };
    let text = form.text(&address.name);
    let counts = address.when().is_none_or(|(choice, word)| form.text(&choice) == word);
    if text.is_empty() || !counts {
        return form.clone();
    }
    let values = fields::of(registry, platform);
    let own: Vec<String> = values
        .filter(|input| input.name != address.name && !matches!(input.field.kind, Kind::Choice { .. }))
        .map(|input| input.name)
        .collect();
    read(registry, platform, text).fields.into_iter().fold(form.clone(), |form, (name, value)| {
        let typed = own.contains(&name) && form.secret(&name).is_some();
        if typed { form } else { form.with(&name, &value) }
    })
}

#[cfg(test)]
mod tests {
    use toktra_siem_platform::splunk::Splunk;

    use super::*;

    #[test]
    fn what_was_typed_into_its_own_field_goes_first() {
        let registry = Registry::standard();
        let form = Form::parse(b"splunk_hec_url=https://x:pasted@s.example&splunk_hec_token=typed");
        let form = applied(&registry, Splunk::ID, &form);
        assert_eq!((form.text("splunk_hec_url"), form.text("splunk_hec_token")), ("https://s.example", "typed"));
        let form = Form::parse(b"splunk_hec_url=https://x:pasted@s.example&splunk_hec_token=");
        assert_eq!(applied(&registry, Splunk::ID, &form).text("splunk_hec_token"), "pasted");
    }
}
