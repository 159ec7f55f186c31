//! Every route of the page, with what it demands. As in the API, nothing is mounted but from this table, and its guard with it; the tests
//! walk it (who may see what, CSRF on every change, security headers on every answer).

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use super::guard::guard;
use super::{Dashboard, appearance, assets, connectors, login, test_run};

/// What a route of the page demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: whoever is not logged in yet comes here.
    Open,
    /// Somebody who is logged in. What their role may not do, the API refuses.
    Person,
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
    use Access::{Admin, Open, Person};
    let mut t = Table::default();
    t.get(Open, "/", login::home);
    t.get(Open, "/assets/{file}", assets::serve);
    t.get(Open, "/login", login::show);
    t.post(Open, "/login", login::log_in);
    t.post(Person, "/logout", login::log_out);
    t.post(Open, "/appearance", appearance::choose);
    t.get(Person, "/integrations/siem", connectors::list::show);
    t.get(Person, "/integrations/siem/live", connectors::list::live);
    t.get(Admin, "/integrations/siem/new", connectors::form::pages::new);
    t.post(Admin, "/integrations/siem/new", connectors::form::pages::create);
    t.post(Admin, "/integrations/siem/normalise", connectors::form::pages::normalise);
    t.get(Person, "/integrations/siem/filter/preview", connectors::form::preview::show);
    t.get(Admin, "/integrations/siem/{id}/edit", connectors::form::pages::edit);
    t.post(Admin, "/integrations/siem/{id}/edit", connectors::form::pages::save);
    t.post(Admin, "/integrations/siem/test", test_run::unsaved);
    t.post(Admin, "/integrations/siem/{id}/test", test_run::saved);
    t
}

/// What is mounted.
pub fn routes() -> Vec<Route> {
    table().0.into_iter().map(|(route, _)| route).collect()
}

pub(super) fn mount(dashboard: &Dashboard) -> Router<Dashboard> {
    table().0.into_iter().fold(Router::new(), |router, (route, handler)| {
        let guarded = handler.route_layer(from_fn_with_state((dashboard.clone(), route.access), guard));
        router.route(route.path, guarded)
    })
}
