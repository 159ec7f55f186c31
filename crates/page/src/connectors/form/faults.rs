//! What the API refuses, beside the fields that it is about. Nothing else of the form is touched, so that nothing typed is lost: neither by
//! a page that is made again, nor, with script, the secrets, which no page ever shows.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use toktra_siem_app::Refusal;
use toktra_siem_core::ids::PlatformId;
use toktra_siem_platform::Registry;
use toktra_siem_wire::Code;

use super::fields;
use crate::answer::Result;
use crate::error::{PageError, labelled, sentence};
use crate::show::Html;

/// What is wrong with a form.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    by_field: BTreeMap<String, String>,
    /// What is about no field of the form.
    rest: Vec<String>,
    /// The refusal as a whole, where it is about none at all.
    message: Option<String>,
}

impl Faults {
    /// Those of a form for `platform`.
    pub fn of(registry: &Registry, platform: PlatformId, refusal: &Refusal) -> Self {
        let mut faults = Self::default();
        for fault in &refusal.fields {
            match fields::at(registry, platform, &fault.pointer) {
                Some(name) => {
                    let input = fields::of(registry, platform).find(|input| input.name == name);
                    let said = labelled(fault, input.map(|input| input.field.label));
                    faults.by_field.entry(name).or_insert_with(|| fields::in_labels(registry, platform, &said));
                }
                None => faults.rest.push(fields::in_labels(registry, platform, &fault.message)),
            }
        }
        if refusal.fields.is_empty() {
            faults.message = Some(refusal.message.clone());
        }
        if let (true, Some(address)) = (refusal.code == Code::DestinationForbidden, fields::address(registry, platform))
        {
            faults.add(&address.name, "This address is not allowed.");
        }
        faults
    }

    /// One more, unless there is one of that field.
    pub fn add(&mut self, field: &str, message: &str) {
        self.by_field.entry(field.to_owned()).or_insert_with(|| message.to_owned());
    }

    /// That of each field.
    pub fn by_field(&self) -> &BTreeMap<String, String> {
        &self.by_field
    }

    /// That of each field, by what the form calls it.
    pub fn labelled(&self, registry: &Registry, platform: PlatformId) -> Vec<(String, String)> {
        let label = |name: &str| {
            let input = fields::of(registry, platform).find(|input| input.name == name);
            input.map_or_else(|| name.to_owned(), |input| input.field.label.to_owned())
        };
        self.by_field.iter().map(|(name, fault)| (label(name), fault.clone())).collect()
    }

    /// That of one field.
    pub fn of_field(&self, field: &str) -> Option<&str> {
        self.by_field.get(field).map(String::as_str)
    }

    /// All of it in a sentence that begins with what did not happen.
    pub fn sentence(&self, nothing: &str) -> Option<String> {
        if let Some(message) = &self.message {
            return Some(format!("{nothing}. {message}"));
        }
        let places = match self.by_field.len() {
            0 => String::new(),
            1 => " What has to be corrected is said beside its field.".to_owned(),
            n => format!(" {n} fields have to be corrected; each says what."),
        };
        let rest = self.rest.iter().map(|fault| format!(" {}", sentence(fault))).collect::<Vec<_>>().concat();
        (!places.is_empty() || !rest.is_empty()).then(|| format!("{nothing} yet.{places}{rest}"))
    }

    /// For htmx: what is wrong with each field of the form, and nothing where nothing is.
    pub fn marks(&self, registry: &Registry) -> Result<Html> {
        let names: BTreeSet<String> =
            fields::all(registry).map(|input| input.name).chain(OTHERS.map(str::to_owned)).collect();
        let fault = |name: String| (self.of_field(&name).unwrap_or_default(), name);
        let marks = names.into_iter().map(fault).map(|(fault, name)| (name, fault)).collect();
        Marks { marks }.render().map(Html::trusted).map_err(|error| PageError::broken(&error))
    }

    /// For htmx: nothing is wrong any more, neither with a field nor with the form as a whole.
    pub fn cleared(registry: &Registry) -> Result<Html> {
        let marks = Self::default().marks(registry)?;
        Ok(Html::trusted(format!("{marks}<div id=\"form-summary\" hx-swap-oob=\"innerHTML\"></div>")))
    }
}

/// The fields that are no settings.
const OTHERS: [&str; 4] = ["name", "platform", "filter", "signing_secret"];

#[derive(Template)]
#[template(
    ext = "html",
    source = "{% for (name, fault) in marks %}<p class=\"fault\" id=\"{{ name }}-fault\" hx-swap-oob=\"true\">{{ fault }}</p>\n{% endfor %}"
)]
struct Marks<'a> {
    marks: Vec<(String, &'a str)>,
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use toktra_siem_core::fault::FieldFault;

    use super::*;

    fn refusal(code: Code, fields: &[(&str, &str)]) -> Refusal {
        let fields = fields.iter().map(|(pointer, message)| FieldFault::new(*pointer, *message)).collect();
        let mut refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, code, "Whole <b>.");
        refusal.problem.fields = fields;
        refusal
    }

    #[test]
    fn each_fault_stands_beside_its_field_and_the_others_are_cleared() {
        let refused = refusal(
            Code::Invalid,
            &[("/name", "name: is <missing>"), ("/config/hec_token", "is empty"), ("/x", "`x` is not a member here")],
        );
        let faults = Faults::of(&Registry::standard(), PlatformId::fixed("splunk"), &refused);
        assert_eq!(faults.of_field("splunk_hec_token"), Some("Enter the HEC token."));
        assert_eq!(
            faults.sentence("Not saved").unwrap(),
            "Not saved yet. 2 fields have to be corrected; each says what. `x` is not a member here."
        );
        let marks = faults.marks(&Registry::standard()).unwrap().to_string();
        assert!(marks.contains("id=\"name-fault\" hx-swap-oob=\"true\">Is &#60;missing&#62;.</p>"), "{marks}");
        assert!(marks.contains("id=\"splunk_index-fault\" hx-swap-oob=\"true\"></p>"), "{marks}");
    }

    #[test]
    fn a_refusal_without_fields_is_said_as_a_whole() {
        let faults =
            Faults::of(&Registry::standard(), PlatformId::fixed("datadog"), &refusal(Code::DestinationForbidden, &[]));
        assert_eq!(faults.sentence("Nothing was sent").unwrap(), "Nothing was sent. Whole <b>.");
        assert!(faults.of_field("datadog_url").is_some());
        assert_eq!(Faults::default().sentence("Not saved"), None);
    }
}
