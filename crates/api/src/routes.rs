//! Every route, with what it demands and what it says of itself. A route is mounted from this table only, and its guard with it: there is
//! no way to mount one without saying who may call it and without documenting it ([`super::doc`] says how). The authorisation matrix of
//! the tests and the OpenAPI document go over the same table.

use axum::Router;
use axum::extract::State;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;
use toktra_siem_app::connectors::{IfMatch, compare, signing};
use toktra_siem_app::{self as use_case, App, Caller, Query};
use toktra_siem_store::Scope;

use super::answer::{created, ok};
use super::connectors::test_delivery;
use super::doc::Doc;
use super::extract::{Given, Id, NoQuery, OnlyId};
use super::guard::{Access, guard};
use super::state::AppState;
use super::{
    accounting, audit, channels, connectors, deliveries, events, health, index_template, jobs, keys, once, openapi,
    operations, orgs, platforms, preview, sessions, setup, shown, traffic, users,
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
    fn get<H: Handler<T, AppState>, T: 'static>(&mut self, access: Access, path: &'static str, handler: H, doc: Doc) {
        self.add((Method::GET, MethodFilter::GET), access, path, handler, doc);
    }

    fn post<H: Handler<T, AppState>, T: 'static>(&mut self, access: Access, path: &'static str, handler: H, doc: Doc) {
        self.add((Method::POST, MethodFilter::POST), access, path, handler, doc);
    }

    fn patch<H: Handler<T, AppState>, T: 'static>(&mut self, access: Access, path: &'static str, handler: H, doc: Doc) {
        self.add((Method::PATCH, MethodFilter::PATCH), access, path, handler, doc);
    }

    fn delete<H: Handler<T, AppState>, T: 'static>(
        &mut self,
        access: Access,
        path: &'static str,
        handler: H,
        doc: Doc,
    ) {
        self.add((Method::DELETE, MethodFilter::DELETE), access, path, handler, doc);
    }

    fn add<H: Handler<T, AppState>, T: 'static>(
        &mut self,
        (method, filter): (Method, MethodFilter),
        access: Access,
        path: &'static str,
        handler: H,
        doc: Doc,
    ) {
        self.0.push(Entry { route: Route { method, path, access }, handler: on(filter, handler), doc });
    }
}

/// A handler: takes what is named from the request (nothing else may be there), asks a use case, and answers what that comes to by the
/// function that stands first.
macro_rules! ask {
    ($how:path, $asked:path) => {
        |State(app): State<App>, caller: Caller, _: NoQuery| async move { $how(&$asked(&app, &caller).await?) }
    };
    ($how:path, $asked:path, query) => {
        |State(app): State<App>, caller: Caller, query: Query| async move { $how(&$asked(&app, &caller, query).await?) }
    };
    ($how:path, $asked:path, id) => {
        |State(app): State<App>, caller: Caller, OnlyId(id): OnlyId<_>| async move {
            $how(&$asked(&app, &caller, id).await?)
        }
    };
    ($how:path, $asked:path, id, query) => {
        |State(app): State<App>, caller: Caller, Id(id): Id<_>, query: Query| async move {
            $how(&$asked(&app, &caller, id, query).await?)
        }
    };
    ($how:path, $asked:path, body) => {
        |State(app): State<App>, caller: Caller, _: NoQuery, Given(body): Given| async move {
            $how(&$asked(&app, &caller, body).await?)
        }
    };
    ($how:path, $asked:path, id, body) => {
        |State(app): State<App>, caller: Caller, OnlyId(id): OnlyId<_>, Given(body): Given| async move {
            $how(&$asked(&app, &caller, id, body).await?)
        }
    };
    ($how:path, $asked:path, id, if_match) => {
        |State(app): State<App>, caller: Caller, OnlyId(id): OnlyId<_>, condition: IfMatch| async move {
            $how(&$asked(&app, &caller, id, &condition).await?)
        }
    };
    ($how:path, $asked:path, id, if_match, body) => {
        |State(app): State<App>, caller: Caller, OnlyId(id): OnlyId<_>, condition: IfMatch, Given(body): Given| async move {
            $how(&$asked(&app, &caller, id, &condition, body).await?)
        }
    };
}

/// A row for each route.
#[rustfmt::skip]
fn table() -> Table {
    use Access::{Events, Keys, Open, Platform, Session};
    const READ: Access = Access::Org(Scope::SiemRead);
    const WRITE: Access = Access::Org(Scope::SiemWrite);
    const ADMIN: Access = Access::Org(Scope::Admin);
    let mut t = Table::default();
    t.get(Open, "/healthz", operations::alive, operations::doc::alive());
    t.get(Open, "/readyz", operations::ready, operations::doc::ready());
    t.get(Open, "/metrics", operations::metrics, operations::doc::metrics());
    t.get(Open, "/openapi.json", openapi::show, openapi::doc::show());
    t.get(Open, "/docs", openapi::page::show, openapi::page::doc::show());
    t.get(Open, "/docs/style.css", openapi::page::style, openapi::page::doc::style());
    t.post(Events, "/v1/events", events::post, events::doc::post());
    t.get(READ, "/v1/events", ask!(ok, use_case::events::list, query), events::doc::list());
    t.get(READ, "/v1/events/{event_id}", ask!(ok, use_case::events::get, id), events::doc::get());
    t.get(READ, "/v1/siem/platforms", ask!(ok, use_case::platforms::list), platforms::list());
    t.get(READ, "/v1/siem/connectors", ask!(ok, use_case::connectors::list, query), connectors::doc::list());
    t.post(WRITE, "/v1/siem/connectors", ask!(connectors::made, use_case::connectors::create, body), connectors::doc::create());
    t.post(WRITE, "/v1/siem/connectors/test", test_delivery::unsaved, test_delivery::doc::unsaved());
    t.get(READ, "/v1/siem/connectors/{id}", ask!(connectors::shown, use_case::connectors::get, id), connectors::doc::get());
    t.patch(WRITE, "/v1/siem/connectors/{id}", ask!(connectors::changed, use_case::connectors::change, id, if_match, body), connectors::doc::change());
    t.delete(WRITE, "/v1/siem/connectors/{id}", ask!(ok, use_case::connectors::delete, id, if_match), connectors::doc::delete());
    t.post(WRITE, "/v1/siem/connectors/{id}/test", test_delivery::saved, test_delivery::doc::saved());
    t.post(WRITE, "/v1/siem/connectors/{id}/compare-secrets", ask!(ok, compare::compare, id, body), connectors::doc::compare());
    t.post(WRITE, "/v1/siem/connectors/{id}/signing-secret/rotate", ask!(connectors::rotated, signing::rotate, id, if_match, body), connectors::doc::rotate());
    t.post(WRITE, "/v1/siem/connectors/{id}/signing-secret/activate", ask!(connectors::rotated, signing::activate, id, if_match, body), connectors::doc::activate());
    t.post(WRITE, "/v1/siem/connectors/{id}/signing-secret/cancel", ask!(connectors::rotated, signing::cancel, id, if_match, body), connectors::doc::cancel());
    t.post(WRITE, "/v1/siem/connectors/{id}/index-template", ask!(ok, use_case::index_template::apply, id, body), index_template::apply());
    t.get(READ, "/v1/siem/connectors/{id}/deliveries", deliveries::of_connector, deliveries::doc::of_connector());
    t.get(READ, "/v1/siem/connectors/{id}/setup", ask!(ok, use_case::setup::of_connector, id), setup::of_connector());
    t.post(WRITE, "/v1/siem/setup", ask!(ok, use_case::setup::of_draft, body), setup::of_draft());
    t.get(READ, "/v1/siem/connectors/{id}/health", ask!(ok, use_case::health::of_connector, id), health::of_connector());
    t.get(READ, "/v1/siem/connectors/{id}/accounting", ask!(ok, use_case::accounting::of_connector, id), accounting::of_connector());
    t.get(READ, "/v1/siem/connectors/{id}/traffic", ask!(ok, use_case::traffic::of_connector, id, query), traffic::of_connector());
    t.get(READ, "/v1/siem/health", ask!(ok, use_case::health::of_all), health::of_all());
    t.get(READ, "/v1/siem/traffic", ask!(ok, use_case::traffic::of_all, query), traffic::of_all());
    t.get(READ, "/v1/siem/accounting", ask!(ok, use_case::accounting::of_all), accounting::of_all());
    t.post(READ, "/v1/siem/filter/preview", ask!(ok, use_case::preview::preview, body), preview::preview());
    t.post(WRITE, "/v1/siem/connectors/{id}/redeliver-failed", jobs::redeliver_failed, jobs::doc::redeliver_failed());
    t.post(WRITE, "/v1/siem/connectors/{id}/replay", jobs::replay, jobs::doc::replay());
    t.post(WRITE, "/v1/siem/connectors/{id}/discard", jobs::discard, jobs::doc::discard());
    t.get(READ, "/v1/siem/deliveries", deliveries::list, deliveries::doc::list());
    t.get(READ, "/v1/siem/deliveries/{id}", ask!(ok, use_case::deliveries::get, id), deliveries::doc::get());
    t.get(READ, "/v1/siem/deliveries/{id}/attempts/{number}/request", deliveries::request, deliveries::doc::request());
    t.post(WRITE, "/v1/siem/deliveries/{id}/redeliver", ask!(jobs::made, use_case::jobs::redeliver, id, body), jobs::doc::redeliver());
    t.post(WRITE, "/v1/siem/connectors/{id}/acknowledge", ask!(ok, use_case::acknowledge::acknowledge, id, body), channels::acknowledge());
    t.delete(WRITE, "/v1/siem/connectors/{id}/acknowledge", ask!(ok, use_case::acknowledge::take_back, id), channels::take_back());
    t.get(READ, "/v1/notification-channels", ask!(ok, use_case::channels::list, query), channels::list());
    t.post(WRITE, "/v1/notification-channels", ask!(created, use_case::channels::create, body), channels::create());
    t.get(READ, "/v1/notification-channels/{id}", ask!(ok, use_case::channels::get, id), channels::get());
    t.patch(WRITE, "/v1/notification-channels/{id}", ask!(ok, use_case::channels::change, id, body), channels::change());
    t.delete(WRITE, "/v1/notification-channels/{id}", ask!(ok, use_case::channels::delete, id), channels::delete());
    t.post(WRITE, "/v1/notification-channels/{id}/compare-secrets", ask!(ok, use_case::channels::compare, id, body), channels::compare());
    t.post(WRITE, "/v1/notification-channels/{id}/test", ask!(ok, use_case::channels::test, id, body), channels::test());
    t.get(READ, "/v1/siem/jobs", ask!(ok, use_case::jobs::list, query), jobs::doc::list());
    t.get(READ, "/v1/siem/jobs/{id}", ask!(ok, use_case::jobs::get, id), jobs::doc::get());
    t.delete(WRITE, "/v1/siem/jobs/{id}", ask!(ok, use_case::jobs::cancel, id), jobs::doc::cancel());
    t.get(Platform, "/v1/orgs", ask!(ok, use_case::orgs::list, query), orgs::list());
    t.post(Platform, "/v1/orgs", ask!(created, use_case::orgs::create, body), orgs::create());
    t.get(Platform, "/v1/orgs/{id}", ask!(ok, use_case::orgs::get, id), orgs::get());
    t.patch(Platform, "/v1/orgs/{id}", ask!(ok, use_case::orgs::rename, id, body), orgs::rename());
    t.delete(Platform, "/v1/orgs/{id}", ask!(ok, use_case::orgs::delete, id), orgs::delete());
    t.get(Keys, "/v1/api-keys", ask!(ok, use_case::keys::list, query), keys::list());
    t.post(Keys, "/v1/api-keys", ask!(created, use_case::keys::create, body), keys::create());
    t.get(Keys, "/v1/api-keys/{id}", ask!(ok, use_case::keys::get, id), keys::get());
    t.delete(Keys, "/v1/api-keys/{id}", ask!(ok, use_case::keys::revoke, id), keys::revoke());
    t.get(WRITE, "/v1/secrets", ask!(ok, use_case::secrets::list), shown::list());
    t.post(WRITE, "/v1/secrets/{id}/reveal", ask!(ok, use_case::secrets::reveal, id, body), shown::reveal());
    t.get(ADMIN, "/v1/users", ask!(ok, use_case::users::list, query), users::list());
    t.post(ADMIN, "/v1/users", ask!(created, use_case::users::create, body), users::create());
    t.get(ADMIN, "/v1/users/{id}", ask!(ok, use_case::users::get, id), users::get());
    t.patch(ADMIN, "/v1/users/{id}", ask!(ok, use_case::users::change, id, body), users::change());
    t.delete(ADMIN, "/v1/users/{id}", ask!(ok, use_case::users::delete, id), users::delete());
    t.post(Open, "/v1/sessions", sessions::open, sessions::doc::open());
    t.get(Session, "/v1/sessions/current", ask!(ok, use_case::sessions::current), sessions::doc::current());
    t.delete(Session, "/v1/sessions/current", ask!(ok, use_case::sessions::end), sessions::doc::end());
    t.post(Session, "/v1/sessions/current/password", sessions::change_password, sessions::doc::change_password());
    t.get(Keys, "/v1/audit", ask!(ok, use_case::audit::list, query), audit::list());
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
