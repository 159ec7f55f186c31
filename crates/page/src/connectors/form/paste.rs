//! Reads what people paste into the form, in the field that takes anything or in the URL field, and fills in the fields that the values belong
//! to, so that no credential stays in the URL. Each platform knows what a text says ([`toktra_siem_platform::paste`]).

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
    /// What was pasted and has no field in the form. Values are left out.
    pub not_understood: Vec<String>,
}

/// Reads what was pasted.
pub fn read(registry: &Registry, platform: PlatformId, text: &str) -> Read {
    let understood = registry.understand(platform, text);
    let said = understood.sentence();
    let name = |setting: &str| match registry.common().iter().find(|field| field.name == setting) {
        Some(field) => Some(field.input_name(None)),
        None => Some(fields::choice_name(registry.descriptor(platform)?, setting)),
    };
    let named = |(setting, value): (&str, String)| Some((name(setting)?, value));
    Read {
        fields: understood.fields.into_iter().filter_map(named).collect(),
        said,
        understood: understood.found,
        not_understood: understood.not_understood,
    }
}

/// The name of the input that takes anything.
pub const PASTED: &str = "pasted";

/// The form with what was pasted into the input that takes anything. What was typed goes first, unless it is only the default.
pub fn filled(registry: &Registry, platform: PlatformId, form: &Form) -> Form {
    let text = form.raw(PASTED);
    if text.trim().is_empty() {
        return form.clone();
    }
    let typed = |name: &str| !form.text(name).is_empty();
    // A choice says nothing of whether it was made. It goes with where events go.
    let whole = fields::address(registry, platform).is_some_and(|address| typed(&address.name));
    let goes_first = |name: &str| {
        let input = fields::of(registry, platform).find(|input| input.name == name);
        let choice = input.as_ref().is_none_or(|input| matches!(input.field.kind, Kind::Choice { .. } | Kind::Flag));
        if choice {
            whole
        } else {
            typed(name) && input.is_some_and(|input| Some(form.text(name)) != input.field.default)
        }
    };
    read(registry, platform, text)
        .fields
        .into_iter()
        .fold(form.clone(), |form, (name, value)| if goes_first(&name) { form } else { form.with(&name, &value) })
}

/// What was understood of it and what was not, in sentences with a blank in front; empty if nothing was pasted.
pub fn told(registry: &Registry, platform: PlatformId, form: &Form) -> String {
    let read = read(registry, platform, form.raw(PASTED));
    let left =
        (!read.not_understood.is_empty()).then(|| format!("Not understood: {}.", read.not_understood.join("; ")));
    read.said.into_iter().chain(left).map(|sentence| format!(" {sentence}")).collect::<Vec<_>>().concat()
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
    let said = read(registry, platform, text).fields;
    // What belongs elsewhere altogether does not stay where it was pasted: it may be a credential.
    let elsewhere = !said.is_empty() && said.iter().all(|(name, _)| *name != address.name);
    let form = if elsewhere { form.clone().with(&address.name, "") } else { form.clone() };
    said.into_iter().fold(form, |form, (name, value)| {
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
        let form = applied(&registry, Splunk::ID, &Form::parse(b"splunk_hec_url=Splunk+t0ken"));
        assert_eq!((form.text("splunk_hec_url"), form.text("splunk_hec_token")), ("", "t0ken"));
    }

    #[test]
    fn what_was_pasted_fills_what_is_empty_or_the_default() {
        let registry = Registry::standard();
        let pasted = "pasted=[http://a]%0D%0Atoken%20=%20pasted%0D%0Aindex%20=%20main%0D%0Asourcetype%20=%20theirs%0D%0Aodd%20=%20x";
        let typed = "&splunk_hec_token=&splunk_index=toktra&splunk_sourcetype=typed";
        let form = Form::parse(format!("{pasted}{typed}").as_bytes());
        let full = filled(&registry, Splunk::ID, &form);
        let fields = ["splunk_hec_token", "splunk_index", "splunk_sourcetype"].map(|name| full.text(name));
        assert_eq!(fields, ["pasted", "main", "typed"]);
        let told = told(&registry, Splunk::ID, &form);
        assert!(
            told.contains("Understood from") && told.ends_with("Not understood: the setting `http.odd`."),
            "{told}"
        );
    }
}
