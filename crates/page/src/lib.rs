//! The page: `/integrations/siem` and what a security engineer needs around it (product spec, "Configuring a SIEM connector").
//! Why it is built like this: docs/adr/0025-the-page.md.
//!
//! **A face of the use cases.** No handler here touches the store, the vault or the dispatcher. It calls the same functions as the API
//! ([`toktra_siem_app`]), on behalf of whoever looks at the page, and shows what they come to. So a page can show nothing that the API would
//! not tell, change nothing that it would not let, and every change is in the audit log, without a line about it here.
//!
//! **A request**, from the outside in: the table of [`routes`], the [`guard`] (session cookie, CSRF, form body, security headers), a
//! handler, which asks with its [`visitor::Visitor`] and fills a template (`templates/dashboard/`). What goes wrong is an
//! [`error::PageError`], which the guard shows as a page, or as a notice where only a part of a page was asked for.
//!
//! **Reading works without script, writing with plain forms.** htmx replaces parts of a page with what the server rendered, and keeps lists
//! live; `page.js` adds what HTML cannot do (copy, shortcuts, times in the reader's zone). No script and no style is inline, and nothing
//! comes from another host.
//!
//! How to add a page: CONTRIBUTING.md, "Recipes".

pub mod account;
pub mod answer;
pub mod appearance;
pub mod assets;
pub mod audit;
pub mod charts;
pub mod connectors;
pub mod cookies;
pub mod deliveries;
pub mod entrance;
pub mod error;
pub mod events;
pub mod faults;
mod first_run;
pub mod form;
pub mod frame;
pub mod guard;
pub mod icon;
pub mod jobs;
pub mod json_text;
pub mod keys;
pub mod live;
pub mod login;
pub mod model;
pub mod moment;
pub mod names;
pub mod notifications;
pub mod routes;
pub mod shortcuts;
pub mod show;
pub mod shown;
pub mod site;
pub mod test_run;
pub mod tour;
pub mod users;
pub mod verify;
pub mod visitor;
pub mod words;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use tokio_util::sync::CancellationToken;
use toktra_siem_api::nothing_at;
use toktra_siem_app::App;
use toktra_siem_base::clock::Clock;
use toktra_siem_base::random::Random;
use toktra_siem_edge::Edge;
use toktra_siem_identity::first_login::Entrance;
use toktra_siem_platform::Registry;

use error::PageError;

/// What the page is made of.
pub struct Parts {
    /// What can be asked for.
    pub app: App,
    /// Which platforms there are.
    pub registry: Registry,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// For CSRF tokens.
    pub random: Arc<dyn Random>,
    /// The shares of memory and time that forms have.
    pub edge: Edge,
    /// How the outside reaches the server (`TOKTRA_SIEM_PUBLIC_URL`), where it is known.
    pub public_url: Option<String>,
    /// The ways in beside the login.
    pub entrance: Entrance,
    /// Ends the live updates, which otherwise would last as long as somebody looks.
    pub closing: CancellationToken,
    /// The demo's tour, if this is one.
    pub tour: Option<tour::Tour>,
}

/// What handlers and guard work with. Cheap to clone.
#[derive(Clone)]
pub struct Dashboard(Arc<Inner>);

/// See [`Dashboard`].
pub struct Inner {
    app: App,
    registry: Registry,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    edge: Edge,
    public_url: Option<url::Url>,
    entrance: Entrance,
    closing: CancellationToken,
    tour: Option<tour::Tour>,
    watching: Arc<live::Watching>,
    watchers: Arc<live::watch::Watchers>,
}

impl Dashboard {
    /// A page made of these.
    pub fn new(parts: Parts) -> Self {
        let Parts { app, registry, clock, random, edge, public_url, entrance, closing, tour } = parts;
        let public_url = public_url.and_then(|url| url::Url::parse(&url).ok());
        Self(Arc::new(Inner {
            app,
            registry,
            clock,
            random,
            edge,
            public_url,
            entrance,
            closing,
            tour,
            watching: Arc::default(),
            watchers: Arc::default(),
        }))
    }
}

impl Deref for Dashboard {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// Every page beside the routes of `api`. An address that neither has is told to people as a page, and to everybody else as the API does.
pub fn beside(api: Router, dashboard: Dashboard) -> Router {
    let pages = routes::mount(&dashboard).with_state(dashboard.clone());
    api.merge(pages).fallback(move |request: Request| {
        let otherwise = nothing_at(request.uri());
        guard::stray(dashboard.clone(), request, PageError::Missing, otherwise)
    })
}
