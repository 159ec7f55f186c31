//! What can be looked at live. A view is named by its address, and made of what the use cases tell everybody who may look at the org.

use std::fmt;

use toktra_siem_core::ids::{ConnectorId, DeliveryId, EventId, JobId};

use crate::answer::Result;
use crate::connectors::{list, one};
use crate::error::PageError;
use crate::visitor::Visitor;
use crate::{deliveries, events, jobs};

/// A live view of an org.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// The list of connectors.
    Connectors,
    /// How a connector stands, and its latest deliveries.
    Connector(ConnectorId),
    /// A delivery, as a page or as a sheet over the history.
    Delivery(DeliveryId, bool),
    /// What became of an event.
    Event(EventId),
    /// A job.
    Job(JobId),
}

/// Makes the HTML of a view from what was asked already.
pub type Rendering = Box<dyn FnOnce() -> Result<String> + Send>;

/// `of` as a [`Rendering`].
pub fn rendering<T: Send + 'static>(of: T, render: fn(&T) -> askama::Result<String>) -> Rendering {
    Box::new(move || render(&of).map_err(|error| PageError::broken(&error)))
}

impl View {
    /// Reads the address of a view.
    pub fn read(address: &str) -> Option<Self> {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let parts: Vec<&str> = path.strip_prefix('/')?.strip_suffix("/live")?.split('/').collect();
        match parts.as_slice() {
            ["integrations", "siem"] => Some(Self::Connectors),
            ["integrations", "siem", id] => id.parse().ok().map(Self::Connector),
            ["deliveries", id] => id.parse().ok().map(|id| Self::Delivery(id, query == "sheet=yes")),
            ["events", id] => id.parse().ok().map(Self::Event),
            ["jobs", id] => id.parse().ok().map(Self::Job),
            _ => None,
        }
    }

    /// Asks for what the view shows. `kept` is what the list of connectors asks for only now and then.
    pub(super) async fn ask(self, visitor: &Visitor, kept: &mut list::Kept) -> Result<Rendering> {
        match self {
            Self::Connectors => list::live(visitor, kept).await,
            Self::Connector(id) => one::live(visitor, &id.to_string()).await,
            Self::Delivery(id, sheet) => deliveries::detail::live(visitor, &id.to_string(), sheet).await,
            Self::Event(id) => events::one::live(visitor, &id.to_string()).await,
            Self::Job(id) => jobs::page::live(visitor, &id.to_string()).await,
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connectors => f.write_str("/integrations/siem/live"),
            Self::Connector(id) => write!(f, "/integrations/siem/{id}/live"),
            Self::Delivery(id, false) => write!(f, "/deliveries/{id}/live"),
            Self::Delivery(id, true) => write!(f, "/deliveries/{id}/live?sheet=yes"),
            Self::Event(id) => write!(f, "/events/{id}/live"),
            Self::Job(id) => write!(f, "/jobs/{id}/live"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_named_by_its_address() {
        let id = "0194693f-6c00-7000-8000-000000000001";
        for address in [
            "/integrations/siem/live".to_owned(),
            format!("/integrations/siem/{id}/live"),
            format!("/deliveries/{id}/live"),
            format!("/deliveries/{id}/live?sheet=yes"),
            format!("/events/{id}/live"),
            format!("/jobs/{id}/live"),
        ] {
            assert_eq!(View::read(&address).unwrap().to_string(), address);
        }
        for other in ["", "/live", "/jobs/1/live", "/users/live", "/integrations/siem", "/a/b/c/d/live"] {
            assert_eq!(View::read(other), None, "{other}");
        }
    }
}
