//! Who asks.

use std::time::Duration;

use bytes::Bytes;
use toktra_siem_api::guard::Access;
use toktra_siem_page::routes::Access as PageAccess;
use toktra_siem_store::Scope;
use toktra_siem_testkit::prelude::*;

use super::estate::Estate;
use super::line::{Ask, Body, Line};

/// What a route demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    Api(Access),
    Page(PageAccess),
}

/// What somebody may do, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing: no credentials, or such as hold no more.
    Nobody,
    /// This, in another org.
    Stranger(&'static Standing),
    /// These scopes in the victim's org.
    Key(&'static [Scope]),
    /// This, in the victim's org.
    Admin,
    /// This, in the victim's org.
    Viewer,
    /// Everything, in every org that is named.
    Platform,
}

impl Standing {
    /// What of the victim they know, because the frame of their pages shows it.
    pub(super) fn knows(self) -> &'static [&'static str] {
        if self == Self::Viewer { &["org", "org_name", "user", "user_email", "user_name"] } else { &[] }
    }

    /// Whether the route answers them about the things of their own org.
    pub(super) fn may(self, demand: Demand) -> bool {
        const VIEWER: &[Scope] = &[Scope::SiemRead];
        const ADMIN: &[Scope] = &[Scope::EventsWrite, Scope::SiemRead, Scope::SiemWrite, Scope::Admin];
        let is_person = matches!(self, Self::Admin | Self::Viewer);
        let scopes = match self {
            Self::Nobody => &[],
            Self::Stranger(at_home) => return at_home.may(demand),
            Self::Key(scopes) if scopes.contains(&Scope::Admin) => ADMIN,
            Self::Key(scopes) => scopes,
            Self::Viewer => VIEWER,
            Self::Admin => ADMIN,
            Self::Platform => &[Scope::EventsWrite, Scope::SiemRead, Scope::SiemWrite, Scope::Admin, Scope::Platform],
        };
        match demand {
            Demand::Api(Access::Open) | Demand::Page(PageAccess::Open) => true,
            Demand::Api(Access::Events) => scopes.contains(&Scope::EventsWrite),
            Demand::Api(Access::Org(scope)) => scopes.contains(&scope),
            Demand::Api(Access::Keys) => scopes.contains(&Scope::Admin),
            Demand::Api(Access::Platform) => scopes.contains(&Scope::Platform),
            Demand::Api(Access::Session) | Demand::Page(PageAccess::Person | PageAccess::Watcher) => is_person,
            Demand::Page(PageAccess::Admin) => self == Self::Admin,
        }
    }
}

/// Where they ask.
pub(super) enum Door {
    Api(Client),
    Page(Tab),
}

/// Somebody who asks.
pub(super) struct Actor {
    pub(super) name: &'static str,
    pub(super) standing: Standing,
    pub(super) door: Door,
}

impl Actor {
    /// Whether they ask at the door where the route is.
    pub(super) fn meets(&self, demand: Demand) -> bool {
        matches!((&self.door, demand), (Door::Api(_), Demand::Api(_)) | (Door::Page(_), Demand::Page(_)))
    }

    /// Asks about the things of `whose`: the path of `of_path`, the rest of `whose`.
    pub(super) async fn ask(&self, line: &Line, ask: &Ask, of_path: &Estate, whose: &Estate) -> (String, Answer) {
        let mut path = of_path.fill(&line.path);
        if !ask.query.is_empty() {
            path = format!("{path}{}{}", if path.contains('?') { '&' } else { '?' }, whose.fill(&ask.query));
        }
        let (answer, sent) = match (&self.door, &ask.body) {
            (Door::Api(client), body) => {
                let body = if let Body::Json(body) = body { whose.fill(&body.to_string()) } else { String::new() };
                let mut headers = vec![("content-type", "application/json")];
                headers.extend(ask.accept.map(|media| ("accept", media)));
                let sent = Bytes::from(body.clone());
                (client.send(line.method(), &path, &headers, sent).await, body)
            }
            (Door::Page(tab), Body::Nothing) if line.method() == http::Method::GET => {
                (tab.get(&path).await, String::new())
            }
            (Door::Page(tab), body) => {
                let fields = if let Body::Form(fields) = body { *fields } else { &[] };
                let fields: Vec<(&str, String)> = fields.iter().map(|(name, text)| (*name, whose.fill(text))).collect();
                let borrowed: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (*name, text.as_str())).collect();
                (tab.post(&path, &borrowed).await, format!("{fields:?}"))
            }
        };
        (format!("{} {path} {sent}", line.method()), answer)
    }
}

/// Everybody, and the sessions of the victim's people that have to stay as they are.
pub(super) struct Cast {
    pub(super) actors: Vec<Actor>,
    pub(super) tokens: Vec<String>,
    /// Of the victim: a key, and the session of an admin.
    pub(super) owner: [String; 2],
}

async fn token(world: &Here, email: &str) -> String {
    let opened = world.attempt(email, PASSWORD).await.expect_status(201).json();
    opened["token"].text()
}

/// A browser with this session.
pub(super) async fn tab(world: &Here, session: Option<&str>) -> Tab {
    let tab = Tab::new(world);
    tab.get("/login").await.expect_status(200);
    if let Some(session) = session {
        tab.set_cookie("session", session);
    }
    tab
}

/// A key of the org, as its text.
async fn key(world: &Here, org: Option<&Estate>, scopes: &[Scope], more: serde_json::Value) -> (String, String) {
    let mut body = json!({ "name": "of the cast", "scopes": scopes });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let path =
        org.map_or_else(|| "/v1/api-keys".to_owned(), |org| format!("/v1/api-keys?org_id={}", org.values["org"]));
    let made = world.make(&path, &body).await;
    (made["key"].text(), made.id())
}

impl Cast {
    pub(super) async fn of(world: &Here, victim: &Estate, other: &Estate) -> Self {
        use Scope::{Admin, EventsWrite, Platform, SiemRead, SiemWrite};
        use Standing::{Key, Nobody, Stranger};
        let none = || json!({});
        let mut keys = Vec::new();
        for scopes in [&[EventsWrite][..], &[SiemRead], &[SiemWrite], &[EventsWrite, SiemRead, SiemWrite], &[Admin]] {
            let name = if scopes == [Admin] { "an admin key of the org" } else { "a weaker key of the org" };
            keys.push((name, Standing::Key(scopes), key(world, Some(victim), scopes, none()).await.0));
        }
        let owner_key = keys.last().unwrap().2.clone();
        for (name, at_home) in [
            ("an admin key of another org", &Key(&[Admin])),
            ("a reading key of another org", &Key(&[SiemRead])),
            ("a writing key of another org", &Key(&[EventsWrite, SiemWrite])),
        ] {
            let scopes = if let Key(scopes) = at_home { *scopes } else { &[] };
            keys.push((name, Stranger(at_home), key(world, Some(other), scopes, none()).await.0));
        }
        let all = [EventsWrite, SiemRead, SiemWrite, Admin, Platform];
        keys.push(("a platform key", Standing::Platform, key(world, None, &all, none()).await.0));
        let (revoked, id) = key(world, Some(victim), &[Admin], none()).await;
        world.with_key(&revoked).get("/v1/siem/connectors").await.expect_status(200);
        world.remove(&format!("/v1/api-keys/{id}?org_id={}", victim.values["org"])).await;
        let soon = json!({ "expires_at": START.plus(Duration::from_secs(1)) });
        let (expired, _) = key(world, Some(victim), &[Admin], soon).await;
        world.with_key(&expired).get("/v1/siem/connectors").await.expect_status(200);
        world.pass(Duration::from_secs(1));
        keys.push(("an unknown key", Nobody, "tsk_0000".to_owned()));
        keys.push(("an unknown session", Nobody, "tss_0000".to_owned()));
        keys.push(("a revoked key", Nobody, revoked));
        keys.push(("an expired key", Nobody, expired));

        let ended = token(world, &victim.values["admin_email"]).await;
        world.with_key(&ended).remove("/v1/sessions/current").await;
        let (admin, viewer) =
            (token(world, &victim.values["admin_email"]).await, token(world, &victim.values["user_email"]).await);
        let people = [
            ("an admin of another org", Stranger(&Standing::Admin), token(world, &other.values["admin_email"]).await),
            ("a viewer of another org", Stranger(&Standing::Viewer), token(world, &other.values["user_email"]).await),
            ("an admin of the org", Standing::Admin, admin.clone()),
            ("a viewer of the org", Standing::Viewer, viewer.clone()),
            ("an ended session", Nobody, ended),
        ];
        let api = |name, standing, key: &str| Actor { name, standing, door: Door::Api(world.with_key(key)) };
        let anonymous = Door::Api(world.anonymous());
        let mut actors = vec![Actor { name: "nobody", standing: Nobody, door: anonymous }];
        actors.extend(keys.iter().map(|(name, standing, key)| api(*name, *standing, key)));
        for (name, standing, session) in &people {
            actors.push(api(name, *standing, session));
            actors.push(Actor { name, standing: *standing, door: Door::Page(tab(world, Some(session)).await) });
        }
        actors.push(Actor { name: "nobody", standing: Nobody, door: Door::Page(tab(world, None).await) });
        Self { actors, tokens: vec![admin.clone(), viewer], owner: [owner_key, admin] }
    }

    /// Another session of the org's admin, and its token.
    pub(super) async fn admin(world: &Here, org: &Estate, door: &Door) -> (Actor, String) {
        let session = token(world, &org.values["admin_email"]).await;
        let door = match door {
            Door::Api(_) => Door::Api(world.with_key(&session)),
            Door::Page(_) => Door::Page(tab(world, Some(&session)).await),
        };
        (Actor { name: "an admin of the org", standing: Standing::Admin, door }, session)
    }
}
