//! Every route, with what it demands and what it says of itself. A route is mounted from this table only, and its guard with it: there is
//! no way to mount one without saying who may call it and without documenting it ([`super::doc`] says how). The authorisation matrix of
//! the tests and the OpenAPI document go over the same table.

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;
use toktra_siem_store::Scope;

use super::doc::Doc;
use super::guard::{Access, guard};
use super::state::AppState;
use super::{
    accounting, audit, connectors, deliveries, events, health, index_template, jobs, keys, once, openapi, operations,
    orgs, platforms, preview, sessions, shown, traffic, users,
};

/// A route as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, parameters in braces.
    pub path: &'static str,
    /// What it demands.
    pub access: Access,
}

struct Entry {
    route: Route,
    handler: MethodRouter<AppState>,
    doc: Doc,
}

#[derive(Default)]
struct Table(Vec<Entry>);

impl Table {
    fn add<H, T>(&mut self, access: Access, method: Method, path: &'static str, handler: H, doc: Doc)
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        let handler = on(filter(&method), handler);
        self.0.push(Entry { route: Route { method, path, access }, handler, doc });
    }
}

/// The methods that the table uses.
fn filter(method: &Method) -> MethodFilter {
    match *method {
        Method::POST => MethodFilter::POST,
        Method::PATCH => MethodFilter::PATCH,
        Method::DELETE => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    }
}

fn table() -> Table {
    const READ: Access = Access::Org(Scope::SiemRead);
    const WRITE: Access = Access::Org(Scope::SiemWrite);
    const ADMIN: Access = Access::Org(Scope::Admin);
    let (get, post, patch, delete) = (Method::GET, Method::POST, Method::PATCH, Method::DELETE);
    let mut t = Table::default();
    t.add(Access::Open, get.clone(), "/healthz", operations::alive, operations::doc::alive());
    t.add(Access::Open, get.clone(), "/readyz", operations::ready, operations::doc::ready());
    t.add(Access::Open, get.clone(), "/metrics", operations::metrics, operations::doc::metrics());
    t.add(Access::Open, get.clone(), "/openapi.json", openapi::show, openapi::doc::show());
    t.add(Access::Open, get.clone(), "/docs", openapi::page::show, openapi::page::doc::show());
    t.add(Access::Open, get.clone(), "/docs/style.css", openapi::page::style, openapi::page::doc::style());
    t.add(Access::Events, post.clone(), "/v1/events", events::post, events::doc::post());
    t.add(READ, get.clone(), "/v1/events", events::list, events::doc::list());
    t.add(READ, get.clone(), "/v1/events/{event_id}", events::get, events::doc::get());
    t.add(READ, get.clone(), "/v1/siem/platforms", platforms::list, platforms::doc::list());
    t.add(READ, get.clone(), "/v1/siem/connectors", connectors::list, connectors::doc::list());
    t.add(WRITE, post.clone(), "/v1/siem/connectors", connectors::create, connectors::doc::create());
    t.add(
        WRITE,
        post.clone(),
        "/v1/siem/connectors/test",
        connectors::test_delivery::unsaved,
        connectors::test_delivery::doc::unsaved(),
    );
    t.add(READ, get.clone(), "/v1/siem/connectors/{id}", connectors::get, connectors::doc::get());
    t.add(WRITE, patch.clone(), "/v1/siem/connectors/{id}", connectors::change, connectors::doc::change());
    t.add(WRITE, delete.clone(), "/v1/siem/connectors/{id}", connectors::delete, connectors::doc::delete());
    t.add(
        WRITE,
        post.clone(),
        "/v1/siem/connectors/{id}/test",
        connectors::test_delivery::saved,
        connectors::test_delivery::doc::saved(),
    );
    t.add(
        WRITE,
        post.clone(),
        "/v1/siem/connectors/{id}/signing-secret/rotate",
        connectors::rotate,
        connectors::doc::rotate(),
    );
    t.add(
        WRITE,
        post.clone(),
        "/v1/siem/connectors/{id}/signing-secret/activate",
        connectors::activate,
        connectors::doc::activate(),
    );
    t.add(
        WRITE,
        post.clone(),
        "/v1/siem/connectors/{id}/index-template",
        index_template::apply,
        index_template::doc::apply(),
    );
    t.add(
        READ,
        get.clone(),
        "/v1/siem/connectors/{id}/deliveries",
        deliveries::of_connector,
        deliveries::doc::of_connector(),
    );
    let of_connector = health::of_connector;
    t.add(READ, get.clone(), "/v1/siem/connectors/{id}/health", of_connector, health::doc::of_connector());
    let of_connector = accounting::of_connector;
    t.add(READ, get.clone(), "/v1/siem/connectors/{id}/accounting", of_connector, accounting::doc::of_connector());
    let of_connector = traffic::of_connector;
    t.add(READ, get.clone(), "/v1/siem/connectors/{id}/traffic", of_connector, traffic::doc::of_connector());
    t.add(READ, get.clone(), "/v1/siem/health", health::of_all, health::doc::of_all());
    t.add(READ, get.clone(), "/v1/siem/traffic", traffic::of_all, traffic::doc::of_all());
    t.add(READ, get.clone(), "/v1/siem/accounting", accounting::of_all, accounting::doc::of_all());
    t.add(READ, post.clone(), "/v1/siem/filter/preview", preview::preview, preview::doc::preview());
    t.add(
        WRITE,
        post.clone(),
        "/v1/siem/connectors/{id}/redeliver-failed",
        jobs::redeliver_failed,
        jobs::doc::redeliver_failed(),
    );
    t.add(WRITE, post.clone(), "/v1/siem/connectors/{id}/replay", jobs::replay, jobs::doc::replay());
    t.add(WRITE, post.clone(), "/v1/siem/connectors/{id}/discard", jobs::discard, jobs::doc::discard());
    t.add(READ, get.clone(), "/v1/siem/deliveries", deliveries::list, deliveries::doc::list());
    t.add(READ, get.clone(), "/v1/siem/deliveries/{id}", deliveries::get, deliveries::doc::get());
    t.add(WRITE, post.clone(), "/v1/siem/deliveries/{id}/redeliver", jobs::redeliver, jobs::doc::redeliver());
    t.add(READ, get.clone(), "/v1/siem/jobs", jobs::list, jobs::doc::list());
    t.add(READ, get.clone(), "/v1/siem/jobs/{id}", jobs::get, jobs::doc::get());
    t.add(WRITE, delete.clone(), "/v1/siem/jobs/{id}", jobs::cancel, jobs::doc::cancel());
    t.add(Access::Platform, get.clone(), "/v1/orgs", orgs::list, orgs::doc::list());
    t.add(Access::Platform, post.clone(), "/v1/orgs", orgs::create, orgs::doc::create());
    t.add(Access::Platform, get.clone(), "/v1/orgs/{id}", orgs::get, orgs::doc::get());
    t.add(Access::Platform, patch.clone(), "/v1/orgs/{id}", orgs::rename, orgs::doc::rename());
    t.add(Access::Platform, delete.clone(), "/v1/orgs/{id}", orgs::delete, orgs::doc::delete());
    t.add(Access::Keys, get.clone(), "/v1/api-keys", keys::list, keys::doc::list());
    t.add(Access::Keys, post.clone(), "/v1/api-keys", keys::create, keys::doc::create());
    t.add(Access::Keys, get.clone(), "/v1/api-keys/{id}", keys::get, keys::doc::get());
    t.add(Access::Keys, delete.clone(), "/v1/api-keys/{id}", keys::revoke, keys::doc::revoke());
    t.add(WRITE, get.clone(), "/v1/secrets", shown::list, shown::doc::list());
    t.add(WRITE, post.clone(), "/v1/secrets/{id}/reveal", shown::reveal, shown::doc::reveal());
    t.add(ADMIN, get.clone(), "/v1/users", users::list, users::doc::list());
    t.add(ADMIN, post.clone(), "/v1/users", users::create, users::doc::create());
    t.add(ADMIN, get.clone(), "/v1/users/{id}", users::get, users::doc::get());
    t.add(ADMIN, patch, "/v1/users/{id}", users::change, users::doc::change());
    t.add(ADMIN, delete.clone(), "/v1/users/{id}", users::delete, users::doc::delete());
    t.add(Access::Open, post.clone(), "/v1/sessions", sessions::open, sessions::doc::open());
    t.add(Access::Session, get.clone(), "/v1/sessions/current", sessions::current, sessions::doc::current());
    t.add(Access::Session, delete, "/v1/sessions/current", sessions::end, sessions::doc::end());
    t.add(
        Access::Session,
        post,
        "/v1/sessions/current/password",
        sessions::change_password,
        sessions::doc::change_password(),
    );
    t.add(Access::Keys, get, "/v1/audit", audit::list, audit::doc::list());
    t
}

/// What is mounted.
pub fn routes() -> Vec<Route> {
    table().0.into_iter().map(|entry| entry.route).collect()
}

/// What is mounted, with what each route says of itself.
pub(super) fn documented() -> Vec<(Route, Doc)> {
    table().0.into_iter().map(|entry| (entry.route, entry.doc)).collect()
}

/// Mounts the table, each route behind its guard.
pub(super) fn mount(state: &AppState) -> Router<AppState> {
    table().0.into_iter().fold(Router::new(), |router, Entry { route, handler, doc }| {
        let handler =
            if doc.once { handler.route_layer(from_fn_with_state(state.clone(), once::once)) } else { handler };
        let handler = match route.access {
            Access::Open => handler,
            access => handler.route_layer(from_fn_with_state((state.clone(), access), guard)),
        };
        router.route(route.path, handler)
    })
}
