//! What of the list of connectors is wanted, as an address holds it.

use toktra_siem_wire::{Health, HealthState};

use super::list::cause;
use crate::form::Form;
use crate::visitor::with_query;

/// Where the list is.
pub(crate) const LIST: &str = "/integrations/siem";

/// What is wanted: by text, state and cause; and which page of it, from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) q: String,
    pub(crate) state: Option<HealthState>,
    /// Why they do not send, in a sentence.
    pub(crate) cause: String,
    pub(crate) page: usize,
}

impl Wanted {
    /// Reads the query of an address. What it does not know is passed over: a pasted link still opens.
    pub(crate) fn read(address: &str) -> Self {
        let form = Form::parse(address.split_once('?').map_or("", |(_, query)| query).as_bytes());
        let state = serde_json::from_value(form.text("state").into()).ok();
        // Pages are counted from 1 in addresses.
        let page = form.text("page").parse().unwrap_or(1_usize).saturating_sub(1);
        Self { q: form.text("q").trim().to_owned(), state, cause: form.text("cause").to_owned(), page }
    }

    /// The address with it.
    pub(crate) fn address(&self, path: &str) -> String {
        let state = self.state.map_or("", state_word);
        let page = if self.page == 0 { String::new() } else { (self.page + 1).to_string() };
        with_query(path, [("q", &*self.q), ("state", state), ("cause", &self.cause), ("page", &page)])
    }

    /// The address of a question about all that match.
    pub(crate) fn bulk(&self, active: bool) -> String {
        let address = self.address(&format!("{LIST}/bulk"));
        let sign = if address.contains('?') { '&' } else { '?' };
        format!("{address}{sign}active={active}")
    }

    /// Whether all connectors are wanted, from the first.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a connector is wanted, of a platform that is called `platform`.
    pub(crate) fn matches(&self, health: &Health, platform: &str) -> bool {
        let text = self.q.to_lowercase();
        let named = |of: &str| of.to_lowercase().contains(&text);
        (text.is_empty() || named(&health.name) || named(platform))
            && self.state.is_none_or(|state| state == health.state)
            && (self.cause.is_empty() || cause(health) == Some(&self.cause))
    }
}

/// A state, as the API calls it.
pub(crate) fn state_word(state: HealthState) -> &'static str {
    match state {
        HealthState::Off => "off",
        HealthState::Healthy => "healthy",
        HealthState::Degraded => "degraded",
        HealthState::Misconfigured => "misconfigured",
        HealthState::Stalled => "stalled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_is_wanted_and_nothing_else() {
        for address in [LIST.to_owned(), format!("{LIST}?q=prod&state=degraded&cause=a+b&page=3")] {
            assert_eq!(Wanted::read(&address).address(LIST), address);
        }
        assert!(Wanted::read("/x?state=odd&page=-1&other=1").is_empty());
        assert_eq!(Wanted::default().bulk(false), "/integrations/siem/bulk?active=false");
        assert_eq!(Wanted::read("/x?q=a").bulk(true), "/integrations/siem/bulk?q=a&active=true");
    }
}
