//! What of the history somebody wants to see. It stands in the address, so that a view can be pasted to a colleague, and it is kept as it
//! was typed: what the API does not understand is still in its field, with what is wrong beside it.

use toktra_siem_app::{Query, Refusal, named};
use toktra_siem_core::ids::ConnectorId;

use crate::form::Form;
use crate::moment;
use crate::visitor::with_query;

/// Which history it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// That of all connectors.
    All,
    /// That of one.
    Of(ConnectorId),
}

impl Place {
    /// The address of the history.
    pub fn path(self) -> String {
        match self {
            Self::All => "/deliveries".to_owned(),
            Self::Of(_) => format!("{}/deliveries", self.base()),
        }
    }

    /// The address of what it belongs to.
    pub fn base(self) -> String {
        match self {
            Self::All => String::new(),
            Self::Of(id) => format!("/integrations/siem/{id}"),
        }
    }
}

/// A filter, as an address holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Its connector, where the history is that of all.
    pub connector: String,
    /// Their status.
    pub status: String,
    /// Their trigger.
    pub trigger: String,
    /// Their stream.
    pub stream: String,
    /// An event that they hold.
    pub event_id: String,
    /// Made at or after this.
    pub from: String,
    /// Made before this.
    pub to: String,
    /// The job that they were made for.
    pub job: String,
    /// The page.
    pub cursor: String,
}

impl Filter {
    /// Reads the query of an address of `place`.
    pub fn read(place: Place, address: &str) -> Self {
        let query = address.split_once('?').map_or("", |(_, query)| query);
        let form = Form::parse(query.as_bytes());
        let text = |name| form.text(name).to_owned();
        Self {
            connector: if place == Place::All { text("connector") } else { String::new() },
            status: text("status"),
            trigger: text("trigger"),
            stream: text("stream"),
            event_id: bare(form.text("event_id")).to_owned(),
            from: text("from"),
            to: text("to"),
            job: text("job"),
            cursor: text("cursor"),
        }
    }

    fn pairs(&self) -> [(&'static str, &str); 8] {
        [
            ("connector", &self.connector),
            ("status", &self.status),
            ("trigger", &self.trigger),
            ("stream", &self.stream),
            ("event_id", &self.event_id),
            ("from", &self.from),
            ("to", &self.to),
            ("job", &self.job),
        ]
    }

    /// Whether anything is left out by it.
    pub fn is_set(&self) -> bool {
        self.pairs().iter().any(|(_, value)| !value.is_empty())
    }

    /// Its one address, without what says nothing.
    pub fn address(&self, place: Place) -> String {
        with_query(&place.path(), self.pairs().into_iter().chain([("cursor", self.cursor.as_str())]))
    }

    /// The address of the page that begins at `cursor`.
    pub fn page(&self, place: Place, cursor: &str) -> String {
        with_query(&place.path(), self.pairs().into_iter().chain([("cursor", cursor)]))
    }

    /// The address without the job.
    pub fn of_any_job(&self, place: Place) -> String {
        Self { job: String::new(), cursor: String::new(), ..self.clone() }.address(place)
    }

    /// Where all of it can be saved from, in this format.
    pub fn export(&self, place: Place, format: &str) -> String {
        with_query(&format!("{}/export", place.path()), [("format", format)].into_iter().chain(self.pairs()))
    }

    /// What it asks for: a page, or for an export everything; of all connectors, or of one.
    ///
    /// # Errors
    ///
    /// If it names a connector that there cannot be.
    pub fn asks(&self, place: Place, paged: bool) -> Result<(Option<ConnectorId>, Query), Refusal> {
        let connector = match place {
            Place::Of(id) => Some(id),
            Place::All if self.connector.is_empty() => None,
            Place::All => Some(named(&self.connector)?),
        };
        let (from, to) = (moment::asked(&self.from), moment::asked(&self.to));
        let pairs = self.pairs().into_iter().filter_map(|(name, value)| match name {
            "connector" => None,
            "from" => Some((name, from.as_str())),
            "to" => Some((name, to.as_str())),
            _ => Some((name, value)),
        });
        let page =
            if paged { [("limit", "50"), ("cursor", self.cursor.as_str())] } else { [("limit", ""), ("cursor", "")] };
        Ok((connector, Query::of(pairs.chain(page))))
    }
}

/// An id without what was copied along with it.
fn bare(id: &str) -> &str {
    id.trim_matches(|c: char| c.is_whitespace() || "\"'`,".contains(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: Place = Place::Of(ConnectorId(uuid::Uuid::from_u128(7)));

    #[test]
    fn what_the_address_says_is_asked_for() {
        let filter = Filter::read(
            Place::All,
            "/deliveries?status=failed&from=2025-01-15T10:30&event_id=%22abc%22,&trigger=&cursor=9",
        );
        let asked = |place, paged| {
            let (connector, query) = filter.asks(place, paged).unwrap();
            (connector.is_some(), format!("{query:?}"))
        };
        let pairs = r#"("status", "failed"), ("event_id", "abc"), ("from", "2025-01-15T10:30:00Z")"#;
        let (of_one, page) = asked(Place::All, true);
        assert!(!of_one && page.contains(&format!("[{pairs}, (\"limit\", \"50\"), (\"cursor\", \"9\")]")), "{page}");
        let (of_one, whole) = asked(ONE, false);
        assert!(of_one && whole.contains(&format!("[{pairs}]")), "an export has no pages: {whole}");
        assert_eq!(
            filter.export(ONE, "csv"),
            "/integrations/siem/00000000-0000-0000-0000-000000000007/deliveries/export?format=csv&status=failed&event_id=abc\
             &from=2025-01-15T10%3A30"
        );
    }

    #[test]
    fn a_connector_that_there_cannot_be_is_not_there() {
        let filter = Filter::read(Place::All, "/deliveries?connector=../users%3Fx");
        assert_eq!(filter.asks(Place::All, false).unwrap_err().status, http::StatusCode::NOT_FOUND);
        assert_eq!(Filter::read(ONE, "/x?connector=abc"), Filter::default());
    }

    proptest! {
        /// Whoever opens the address that a filter has sees the same, whatever was typed.
        #[test]
        fn an_address_says_everything(texts in prop::collection::vec("\\PC{0,12}", 9)) {
            let names = ["connector", "status", "trigger", "stream", "event_id", "from", "to", "job", "cursor"];
            let typed = with_query("/deliveries", names.into_iter().zip(texts.iter().map(String::as_str)));
            let filter = Filter::read(Place::All, &typed);
            let address = filter.address(Place::All);
            prop_assert_eq!(&Filter::read(Place::All, &address), &filter);
            prop_assert_eq!(Filter::read(Place::All, &address).address(Place::All), address);
        }
    }
}
