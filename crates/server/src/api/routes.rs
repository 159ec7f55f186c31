//! Every route, with what it demands. A route is mounted from this table only, and its guard with it: there is no way to mount one
//! without saying who may call it, and the authorisation matrix of the tests goes over the same table.

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;
use toktra_siem_store::Scope;

use super::guard::{Access, guard};
use super::state::AppState;
use super::{audit, connectors, deliveries, events, health, index_template, keys, operations, orgs, sessions, users};

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
}

#[derive(Default)]
struct Table(Vec<Entry>);

impl Table {
    fn add<H, T>(&mut self, access: Access, method: Method, path: &'static str, handler: H)
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        let handler = on(filter(&method), handler);
        self.0.push(Entry { route: Route { method, path, access }, handler });
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
    t.add(Access::Open, get.clone(), "/healthz", operations::alive);
    t.add(Access::Open, get.clone(), "/readyz", operations::ready);
    t.add(Access::Events, post.clone(), "/v1/events", events::post);
    t.add(READ, get.clone(), "/v1/events/{event_id}", events::get);
    t.add(READ, get.clone(), "/v1/siem/connectors", connectors::list);
    t.add(WRITE, post.clone(), "/v1/siem/connectors", connectors::create);
    t.add(READ, get.clone(), "/v1/siem/connectors/{id}", connectors::get);
    t.add(WRITE, patch.clone(), "/v1/siem/connectors/{id}", connectors::change);
    t.add(WRITE, delete.clone(), "/v1/siem/connectors/{id}", connectors::delete);
    t.add(WRITE, post.clone(), "/v1/siem/connectors/{id}/signing-secret/rotate", connectors::signing::rotate);
    t.add(WRITE, post.clone(), "/v1/siem/connectors/{id}/signing-secret/activate", connectors::signing::activate);
    t.add(WRITE, post.clone(), "/v1/siem/connectors/{id}/index-template", index_template::apply);
    t.add(READ, get.clone(), "/v1/siem/connectors/{id}/deliveries", deliveries::of_connector);
    t.add(READ, get.clone(), "/v1/siem/connectors/{id}/health", health::health);
    t.add(READ, get.clone(), "/v1/siem/connectors/{id}/accounting", health::accounting);
    t.add(READ, get.clone(), "/v1/siem/deliveries", deliveries::list);
    t.add(READ, get.clone(), "/v1/siem/deliveries/{id}", deliveries::get);
    t.add(Access::Platform, get.clone(), "/v1/orgs", orgs::list);
    t.add(Access::Platform, post.clone(), "/v1/orgs", orgs::create);
    t.add(Access::Platform, get.clone(), "/v1/orgs/{id}", orgs::get);
    t.add(Access::Platform, patch.clone(), "/v1/orgs/{id}", orgs::rename);
    t.add(Access::Platform, delete.clone(), "/v1/orgs/{id}", orgs::delete);
    t.add(Access::Keys, get.clone(), "/v1/api-keys", keys::list);
    t.add(Access::Keys, post.clone(), "/v1/api-keys", keys::create);
    t.add(Access::Keys, get.clone(), "/v1/api-keys/{id}", keys::get);
    t.add(Access::Keys, delete.clone(), "/v1/api-keys/{id}", keys::revoke);
    t.add(ADMIN, get.clone(), "/v1/users", users::list);
    t.add(ADMIN, post.clone(), "/v1/users", users::create);
    t.add(ADMIN, get.clone(), "/v1/users/{id}", users::get);
    t.add(ADMIN, patch, "/v1/users/{id}", users::change);
    t.add(ADMIN, delete.clone(), "/v1/users/{id}", users::delete);
    t.add(Access::Open, post.clone(), "/v1/sessions", sessions::open);
    t.add(Access::Session, get.clone(), "/v1/sessions/current", sessions::current);
    t.add(Access::Session, delete, "/v1/sessions/current", sessions::end);
    t.add(Access::Session, post, "/v1/sessions/current/password", sessions::change_password);
    t.add(Access::Keys, get, "/v1/audit", audit::list);
    t
}

/// What is mounted.
pub fn routes() -> Vec<Route> {
    table().0.into_iter().map(|entry| entry.route).collect()
}

/// Mounts the table, each route behind its guard.
pub(super) fn mount(state: &AppState) -> Router<AppState> {
    table().0.into_iter().fold(Router::new(), |router, Entry { route, handler }| {
        let handler = match route.access {
            Access::Open => handler,
            access => handler.route_layer(from_fn_with_state((state.clone(), access), guard)),
        };
        router.route(route.path, handler)
    })
}
