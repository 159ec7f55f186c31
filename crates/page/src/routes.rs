//! Every route of the page, with what it demands. As in the API, nothing is mounted but from this table, and its guard with it; the tests
//! walk it (who may see what, CSRF on every change, security headers on every answer).

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::{Method, StatusCode};
use toktra_siem_api::not_possible;

use super::error::PageError;
use super::guard::{guard, stray};
use super::{
    Dashboard, account, appearance, assets, audit, connectors, deliveries, entrance, events, jobs, keys, live, login,
    notifications, shortcuts, shown, test_run, users, verify,
};

/// What a route of the page demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: whoever is not logged in yet comes here.
    Open,
    /// Somebody who is logged in. What their role may not do, the use case refuses.
    Person,
    /// The same, where the page asks by itself while somebody looks at it: that is no use of the session.
    Watcher,
    /// An admin: what the page is about would be refused to anybody else altogether.
    Admin,
}

/// A route as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `GET`, or `POST` for whatever changes something: HTML forms have no other.
    pub method: Method,
    /// The path, parameters in braces.
    pub path: &'static str,
    /// What it demands.
    pub access: Access,
}

#[derive(Default)]
struct Table(Vec<(Route, MethodRouter<Dashboard>)>);

impl Table {
    fn get<H, T>(&mut self, access: Access, path: &'static str, handler: H)
    where
        H: Handler<T, Dashboard>,
        T: 'static,
    {
        self.0.push((Route { method: Method::GET, path, access }, on(MethodFilter::GET, handler)));
    }

    fn post<H, T>(&mut self, access: Access, path: &'static str, handler: H)
    where
        H: Handler<T, Dashboard>,
        T: 'static,
    {
        self.0.push((Route { method: Method::POST, path, access }, on(MethodFilter::POST, handler)));
    }
}

fn table() -> Table {
    let mut t = Table::default();
    entrance_and_account(&mut t);
    connector_pages(&mut t);
    history(&mut t);
    events_and_tools(&mut t);
    offices(&mut t);
    notification_pages(&mut t);
    t
}

/// Coming in, one's own account, and how the page looks.
fn entrance_and_account(t: &mut Table) {
    use Access::{Open, Person, Watcher};
    t.get(Open, "/", login::home);
    t.get(Open, "/assets/{file}", assets::serve);
    t.get(Open, "/login", login::show);
    t.post(Open, "/login", login::log_in);
    t.post(Person, "/logout", login::log_out);
    t.get(Open, "/setup/{token}", entrance::ask);
    t.post(Open, "/setup/{token}", entrance::set_up);
    t.get(Open, "/welcome/{token}", entrance::welcome);
    t.post(Open, "/appearance", appearance::choose);
    t.get(Person, "/account", account::show);
    t.post(Person, "/account/password", account::change_password);
    t.get(Person, "/shortcuts", shortcuts::show);
    t.get(Watcher, "/live", live::several);
}

/// Integrations → SIEM.
fn connector_pages(t: &mut Table) {
    use Access::{Admin, Person, Watcher};
    t.get(Person, "/integrations/siem", connectors::list::show);
    t.get(Watcher, "/integrations/siem/live", live::one);
    t.get(Watcher, "/integrations/siem/part", connectors::list::part);
    t.get(Admin, "/integrations/siem/bulk", connectors::bulk::ask);
    t.post(Admin, "/integrations/siem/bulk", connectors::bulk::set);
    t.get(Admin, "/integrations/siem/new", connectors::form::pages::new);
    t.post(Admin, "/integrations/siem/new", connectors::form::pages::create);
    t.post(Admin, "/integrations/siem/normalise", connectors::form::pages::normalise);
    t.get(Person, "/integrations/siem/filter/preview", connectors::form::preview::show);
    t.get(Admin, "/integrations/siem/{id}/edit", connectors::form::pages::edit);
    t.post(Admin, "/integrations/siem/{id}/edit", connectors::form::pages::save);
    t.post(Admin, "/integrations/siem/setup", connectors::setup::of_form);
    t.post(Admin, "/integrations/siem/test", test_run::unsaved);
    t.post(Admin, "/integrations/siem/{id}/test", test_run::saved);
    t.get(Person, "/integrations/siem/{id}", connectors::one::page);
    t.get(Watcher, "/integrations/siem/{id}/live", live::one);
    t.get(Person, "/integrations/siem/{id}/setup", connectors::setup::of_connector);
    t.get(Person, "/integrations/siem/{id}/settings", connectors::one::settings::show);
    t.get(Person, "/integrations/siem/{id}/signing", connectors::one::signing::show);
    t.get(Watcher, "/integrations/siem/{id}/charts", connectors::one::charts::show);
    t.get(Admin, "/integrations/siem/{id}/resume", connectors::one::active::ask);
    t.post(Admin, "/integrations/siem/{id}/active", connectors::one::active::set);
    t.post(Admin, "/integrations/siem/{id}/index-template", connectors::one::template::apply);
    t.post(Admin, "/integrations/siem/{id}/signing-secret/rotate", connectors::one::signing::rotate);
    t.post(Admin, "/integrations/siem/{id}/signing-secret/cancel", connectors::one::signing::cancel);
    t.get(Admin, "/integrations/siem/{id}/signing-secret/activate", connectors::one::signing::ask);
    t.post(Admin, "/integrations/siem/{id}/signing-secret/activate", connectors::one::signing::activate);
    t.get(Admin, "/integrations/siem/{id}/acknowledge", connectors::one::acknowledge::ask);
    t.post(Admin, "/integrations/siem/{id}/acknowledge", connectors::one::acknowledge::acknowledge);
    t.post(Admin, "/integrations/siem/{id}/acknowledge/end", connectors::one::acknowledge::end);
    t.get(Admin, "/integrations/siem/{id}/delete", connectors::one::delete::ask);
    t.post(Admin, "/integrations/siem/{id}/delete", connectors::one::delete::delete);
}

/// Deliveries, and sending again.
fn history(t: &mut Table) {
    use Access::{Admin, Person, Watcher};
    t.get(Person, "/integrations/siem/{id}/deliveries", deliveries::list::of_connector);
    t.get(Person, "/integrations/siem/{id}/deliveries/export", deliveries::export::of_connector);
    t.get(Person, "/deliveries", deliveries::list::of_all);
    t.get(Person, "/deliveries/export", deliveries::export::of_all);
    t.get(Person, "/deliveries/{id}", deliveries::detail::show);
    t.get(Person, "/deliveries/{id}/attempts/{number}/request", deliveries::request::show);
    t.get(Watcher, "/deliveries/{id}/live", live::one);
    t.post(Admin, "/deliveries/{id}/redeliver", deliveries::detail::redeliver);
    t.get(Admin, "/integrations/siem/{id}/redeliver-failed", jobs::begin::redeliver_failed);
    t.post(Admin, "/integrations/siem/{id}/redeliver-failed", jobs::begin::begin_redeliver_failed);
    t.get(Admin, "/integrations/siem/{id}/replay", jobs::begin::replay);
    t.post(Admin, "/integrations/siem/{id}/replay", jobs::begin::begin_replay);
    t.get(Admin, "/integrations/siem/{id}/discard", jobs::begin::discard);
    t.post(Admin, "/integrations/siem/{id}/discard", jobs::begin::begin_discard);
    t.get(Person, "/integrations/siem/{id}/jobs", jobs::list::of_connector);
    t.get(Person, "/jobs", jobs::list::of_all);
    t.get(Person, "/jobs/{id}", jobs::page::show);
    t.get(Watcher, "/jobs/{id}/live", live::one);
    t.post(Admin, "/jobs/{id}/cancel", jobs::page::cancel);
}

/// Finding an event, and checking a signature.
fn events_and_tools(t: &mut Table) {
    use Access::{Person, Watcher};
    t.get(Person, "/events", events::list::show);
    t.get(Person, "/events/{id}", events::one::show);
    t.get(Watcher, "/events/{id}/live", live::one);
    t.get(Person, "/verify", verify::show);
    t.post(Person, "/verify", verify::check);
}

/// What is for admins alone.
fn offices(t: &mut Table) {
    use Access::Admin;
    t.get(Admin, "/api-keys", keys::list::show);
    t.get(Admin, "/api-keys/new", keys::make::ask);
    t.post(Admin, "/api-keys/new", keys::make::make);
    t.get(Admin, "/api-keys/{id}/revoke", keys::revoke::ask);
    t.post(Admin, "/api-keys/{id}/revoke", keys::revoke::revoke);
    t.post(Admin, "/secrets/{id}/reveal", shown::reveal);
    t.get(Admin, "/users", users::list::show);
    t.get(Admin, "/users/new", users::add::ask);
    t.post(Admin, "/users/new", users::add::add);
    t.get(Admin, "/users/{id}", users::edit::show);
    t.post(Admin, "/users/{id}", users::edit::save);
    t.post(Admin, "/users/{id}/password", users::edit::set_password);
    t.get(Admin, "/users/{id}/delete", users::remove::ask);
    t.post(Admin, "/users/{id}/delete", users::remove::remove);
    t.get(Admin, "/audit", audit::list::show);
}

/// Who is told when something is wrong. Viewers see it.
fn notification_pages(t: &mut Table) {
    use Access::{Admin, Person};
    t.get(Person, "/notifications", notifications::list::show);
    t.get(Admin, "/notifications/new", notifications::form::new);
    t.post(Admin, "/notifications/new", notifications::form::create);
    t.get(Admin, "/notifications/{id}", notifications::form::edit);
    t.post(Admin, "/notifications/{id}", notifications::form::save);
    t.post(Admin, "/notifications/{id}/test", notifications::list::test);
    t.get(Admin, "/notifications/{id}/delete", notifications::delete::ask);
    t.post(Admin, "/notifications/{id}/delete", notifications::delete::delete);
}

/// What is mounted.
pub fn routes() -> Vec<Route> {
    table().0.into_iter().map(|(route, _)| route).collect()
}

pub(super) fn mount(dashboard: &Dashboard) -> Router<Dashboard> {
    let router = table().0.into_iter().fold(Router::new(), |router, (route, handler)| {
        let guarded = handler.route_layer(from_fn_with_state((dashboard.clone(), route.access), guard));
        router.route(route.path, guarded)
    });
    router.method_not_allowed_fallback(|State(dashboard): State<Dashboard>, request: Request| {
        let otherwise = not_possible(request.method());
        stray(dashboard, request, FORMS_ONLY, otherwise)
    })
}

/// What somebody reads who opens the address of a form, such as by loading the page again after it was sent.
const FORMS_ONLY: PageError = PageError::Unreadable(
    StatusCode::METHOD_NOT_ALLOWED,
    "This page can't be opened directly. Go back to the page with the form, and send the form from there.",
);
