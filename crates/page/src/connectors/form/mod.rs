//! Adding a connector, and changing one: platform, credentials, event filters, test delivery, save; all on one page, in the product spec's order.
//!
//! The fields of all platforms are in the page, and the style sheet shows those of the platform that is chosen: switching there and back loses
//! nothing, and needs no script. A save, like a test, is one use case; what that refuses is said beside the fields ([`faults`]).

pub mod draft;
pub mod faults;
pub mod fields;
mod linked;
pub mod pages;
pub mod paste;
pub mod preview;

use askama::Template;
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::PlatformId;
use toktra_siem_platform::Descriptor;
use toktra_siem_platform::descriptor::{FormChoice, Step};
use toktra_siem_wire::Connector;

use self::draft::{Shown, Shows, Values, Word};
use self::faults::Faults;
use self::fields::Input;
pub use self::linked::FINGERPRINT;
use crate::form::Form;
use crate::frame::Frame;
use crate::show::Html;
use crate::words;

/// The page.
#[derive(Template)]
#[template(path = "dashboard/connectors/form.html")]
struct FormPage {
    frame: Frame,
    /// What is changed; nothing where a connector is added.
    stored: Option<Connector>,
    platform: PlatformId,
    shows: Shows,
    name: String,
    values: Values,
    /// Not all events are forwarded, but those that are ticked.
    only: bool,
    severity: Vec<String>,
    event_types: Vec<String>,
    active: bool,
    /// The revision that a save is meant to follow.
    revision: String,
    /// What is said of the fingerprint that the address filled in.
    linked: Option<String>,
    faults: Faults,
    summary: Option<Summary>,
    preview: String,
}

/// What stands above a form that was not taken.
#[derive(Template, Clone)]
#[template(path = "dashboard/connectors/form_summary.html")]
struct Summary {
    text: String,
    /// Somebody else saved meanwhile.
    newer: Option<Newer>,
}

impl Summary {
    /// As HTML.
    fn html(&self) -> Html {
        self.render().map(Html::trusted).unwrap_or_default()
    }
}

/// What somebody else saved.
#[derive(Clone)]
struct Newer {
    path: String,
    revision: u32,
}

/// What htmx puts above the form, and beside its fields, where it was not taken.
#[derive(Template)]
#[template(path = "dashboard/connectors/form_refused.html")]
struct Refused {
    summary: Html,
    marks: Html,
    /// Of the request that the form makes next.
    frame: Option<Frame>,
}

/// A box of the filter.
struct Choice {
    value: &'static str,
    word: &'static str,
    ticked: bool,
}

impl FormPage {
    /// The platforms whose fields are in the page.
    fn platforms(&self) -> Vec<&Descriptor> {
        let stored = self.stored.as_ref().map(|stored| stored.settings.platform);
        self.frame.registry.descriptors().filter(|each| stored.is_none_or(|stored| stored == each.id)).collect()
    }

    /// The number of what is shown of a platform.
    fn number(&self, platform: &Descriptor) -> usize {
        self.shows.platform(platform.id)
    }

    /// What the form lets people choose between in this step, where no setting says it.
    #[expect(clippy::unused_self, reason = "the template calls it")]
    fn choices<'d>(&self, platform: &'d Descriptor, step: Step) -> Vec<&'d FormChoice> {
        fields::choices(platform).filter(|choice| choice.step == step).collect()
    }

    /// The name of the input of a choice.
    #[expect(clippy::unused_self, reason = "the template calls it")]
    fn choice_name(&self, platform: &Descriptor, choice: &FormChoice) -> String {
        fields::choice_name(platform, choice.name)
    }

    /// The words of a choice.
    fn words(&self, platform: &Descriptor, choice: &FormChoice) -> Vec<Word> {
        self.values.words(platform, choice, &self.shows)
    }

    /// The inputs of a platform that stand in this step.
    fn fields(&self, platform: &Descriptor, step: Step) -> Vec<Shown> {
        self.shown(fields::own(platform).filter(|input| input.field.step == step))
    }

    /// Those that all platforms have.
    fn common(&self) -> Vec<Shown> {
        self.shown(fields::common(&self.frame.registry))
    }

    fn shown<'r>(&self, inputs: impl Iterator<Item = Input<'r>>) -> Vec<Shown> {
        let show = |input: Input<'_>| {
            let shown = self.values.show(&input, self.stored.as_ref(), self.faults.by_field(), &self.shows);
            if input.name == FINGERPRINT { Shown { told: self.linked.clone(), ..shown } } else { shown }
        };
        inputs.map(show).collect()
    }

    fn severities(&self) -> Vec<Choice> {
        let choice = |severity: &Severity| {
            let value = severity.as_str();
            Choice { value, word: words::severity(*severity), ticked: self.severity.iter().any(|word| word == value) }
        };
        Severity::ALL.iter().rev().map(choice).collect()
    }

    fn kinds(&self) -> Vec<Choice> {
        let choice = |kind: &EventType| {
            let value = kind.as_str();
            Choice { value, word: words::event_type(*kind), ticked: self.event_types.iter().any(|word| word == value) }
        };
        EventType::ALL.iter().filter(|kind| **kind != EventType::TestConnection).map(choice).collect()
    }

    /// Whether the stored filter names test events. A test goes past every filter, so the form does not offer them; without the word, a
    /// filter that names nothing else would be empty, and forward everything.
    fn names_tests(&self) -> bool {
        self.event_types.iter().any(|word| word == EventType::TestConnection.as_str())
    }

    /// What is wrong with a field that is no setting.
    fn fault(&self, field: &str) -> Option<&str> {
        self.faults.of_field(field)
    }

    /// What is said of the signing secret that is stored.
    fn signing(&self) -> Option<String> {
        self.stored.as_ref().and_then(|stored| super::model::told(&stored.signing_secret))
    }

    /// Where the form goes.
    fn action(&self) -> String {
        match &self.stored {
            Some(stored) => format!("/integrations/siem/{}/edit", stored.id),
            None => "/integrations/siem/new".to_owned(),
        }
    }

    /// Where a test of it goes.
    fn test_action(&self) -> String {
        match &self.stored {
            Some(stored) => format!("/integrations/siem/{}/test", stored.id),
            None => "/integrations/siem/test".to_owned(),
        }
    }

    /// Whether an advanced setting must be seen: anything is wrong with it, or it was filled in.
    fn advanced_open(&self) -> bool {
        let mut advanced = fields::all(&self.frame.registry).filter(|input| input.field.step == Step::Advanced);
        self.linked.is_some() || advanced.any(|input| self.faults.of_field(&input.name).is_some())
    }
}

/// The words that are ticked under a name.
fn ticked(form: &Form, name: &'static str) -> Vec<String> {
    form.all(name).map(str::to_owned).collect()
}
