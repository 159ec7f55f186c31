//! The history as a table: that of all connectors, and that of one ("Delivery history" in the product spec).

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use toktra_siem_app::{Refusal, connectors, deliveries};
use toktra_siem_core::delivery::{Status, Trigger};
use toktra_siem_core::ids::{ConnectorId, StreamKind};
use toktra_siem_wire::{Delivery, List};

use super::filter::{Filter, Place};
use super::words;
use crate::answer::{self, Result, html};
use crate::connectors::one::top::{self, Tab};
use crate::error::{PageError, of_field};
use crate::frame::{Frame, Section};
use crate::moment::{self, Preset};
use crate::names::{Connectors, Named};
use crate::show::{self, Html};
use crate::visitor::Visitor;

/// Has htmx put an address into the address bar.
pub(crate) const PUSH_URL: HeaderName = HeaderName::from_static("hx-push-url");

#[derive(Template)]
#[template(path = "dashboard/deliveries/list.html", blocks = ["history"])]
struct ListPage {
    frame: Frame,
    /// What stands above each page of a connector.
    top: Option<Html>,
    place: Place,
    connectors: Connectors,
    filter: Filter,
    /// Why the API did not understand the filter.
    refusal: Option<Refusal>,
    deliveries: List<Delivery>,
}

/// A choice of a select.
struct Choice<'a> {
    value: String,
    word: &'a str,
    chosen: bool,
}

impl ListPage {
    /// The connector whose history it is.
    fn connector(&self) -> Option<&Named> {
        match self.place {
            Place::All => None,
            Place::Of(id) => self.connectors.get(id),
        }
    }

    fn fault(&self, name: &str) -> Option<String> {
        of_field(self.refusal.as_ref()?, &format!("/{name}"))
    }

    fn statuses(&self) -> Vec<Choice<'static>> {
        let choice = |status: Status| Choice {
            value: status.as_str().to_owned(),
            word: words::status_word(status),
            chosen: self.filter.status == status.as_str(),
        };
        Status::ALL.into_iter().map(choice).collect()
    }

    fn triggers(&self) -> Vec<Choice<'static>> {
        let choice = |trigger: Trigger| Choice {
            value: trigger.as_str().to_owned(),
            word: words::trigger(trigger),
            chosen: self.filter.trigger == trigger.as_str(),
        };
        Trigger::ALL.into_iter().map(choice).collect()
    }

    /// Where there is one stream only there is nothing to choose.
    fn streams(&self) -> Vec<Choice<'static>> {
        let streams = self.connector().and_then(|connector| self.frame.registry.descriptor(connector.platform));
        if streams.is_some_and(|platform| platform.streams.len() == 1) {
            return Vec::new();
        }
        let choice = |kind: StreamKind| Choice {
            value: kind.as_str().to_owned(),
            word: words::stream(kind),
            chosen: self.filter.stream == kind.as_str(),
        };
        let shown = |kind: &StreamKind| self.place == Place::All || *kind != StreamKind::Events;
        [StreamKind::Events, StreamKind::Logs, StreamKind::Metrics].into_iter().filter(shown).map(choice).collect()
    }

    fn named(&self) -> Vec<Choice<'_>> {
        let all = self.connectors.all().iter().map(|connector| (connector.id.to_string(), connector.name.as_str()));
        all.map(|(value, word)| Choice { chosen: self.filter.connector == value, value, word }).collect()
    }

    /// What a screen reader says once a filter has been applied.
    fn found(&self) -> String {
        match self.deliveries.items.len() as u64 {
            0 => "No deliveries".to_owned(),
            n => format!("{} shown", show::counted(n, "delivery", "deliveries")),
        }
    }

    fn presets(&self) -> Vec<Preset> {
        let at = |from: &str| {
            let (to, cursor) = (String::new(), String::new());
            Filter { from: from.to_owned(), to, cursor, ..self.filter.clone() }.address(self.place)
        };
        moment::presets(self.frame.now, &self.filter.from, &self.filter.to, at)
    }

    /// The page that goes on with what is older.
    fn older(&self) -> Option<String> {
        Some(self.filter.page(self.place, self.deliveries.next_cursor.as_deref()?))
    }
}

/// `GET /deliveries`.
pub(crate) async fn of_all(visitor: Visitor) -> Result {
    show(&visitor, Place::All).await
}

/// `GET /integrations/siem/{id}/deliveries`.
pub(crate) async fn of_connector(visitor: Visitor, Path(id): Path<String>) -> Result {
    let id: ConnectorId = id.parse().map_err(|_| PageError::Missing)?;
    show(&visitor, Place::Of(id)).await
}

async fn show(visitor: &Visitor, place: Place) -> Result {
    let filter = Filter::read(place, &visitor.address);
    let address = filter.address(place);
    // A form sends its empty fields as well. A view has one address, so that it can be pasted.
    if !visitor.by_script && address != visitor.address {
        return Ok(visitor.go(&address));
    }
    let named = Connectors::of(visitor).await?;
    if let Place::Of(id) = place
        && named.get(id).is_none()
    {
        return Err(PageError::Missing);
    }
    let (connector, query) = filter.asks(place, true)?;
    let (deliveries, refusal) = match deliveries::list(visitor.app(), visitor.caller(), connector, query).await {
        Ok(list) => (list, None),
        Err(refusal) if !refusal.fields.is_empty() => (List::whole(Vec::new()), Some(refusal)),
        Err(refusal) => return Err(refusal.into()),
    };
    let status = if refusal.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let (title, section) = match place {
        Place::All => ("Deliveries".to_owned(), Section::Deliveries),
        Place::Of(id) => (format!("{}: delivery history", named.name(id)), Section::Connectors),
    };
    let top = match place {
        Place::Of(id) if !visitor.by_script => {
            let connector = connectors::get(visitor.app(), visitor.caller(), id).await?;
            Some(top::of(visitor, &connector, Tab::History)?)
        }
        _ => None,
    };
    let page =
        ListPage { frame: visitor.frame(title, section), top, place, connectors: named, filter, refusal, deliveries };
    if visitor.by_script { part(status, &page, &address) } else { html(status, &page) }
}

fn part(status: StatusCode, page: &ListPage, address: &str) -> Result<Response> {
    let mut response = answer::html(status, &page.as_history())?;
    if let Ok(address) = HeaderValue::from_str(address) {
        response.headers_mut().insert(PUSH_URL, address);
    }
    Ok(response)
}
