//! Route × actor × object: who asks for what, and what is wrong with the answer.

use std::collections::{BTreeMap, BTreeSet};

use toktra_siem_api::guard::Access;
use toktra_siem_base::clock::Clock as _;
use toktra_siem_page::routes::Access as PageAccess;
use toktra_siem_store::AuditEntry;
use toktra_siem_testkit::prelude::*;

use super::cast::{Actor, Cast, Demand, Standing};
use super::digest::{self, Digest};
use super::estate::Estate;
use super::line::{Ask, Line, Shows};
use toktra_siem_testkit::tab::redacted;

/// What the frame of each page shows of whoever is logged in: no sign that the page shows anything else.
const IN_EVERY_FRAME: &[&str] = &["org", "org_name", "admin", "admin_email", "user", "user_email", "user_name"];

/// What secrets of the victim end with.
const SECRETS: [&str; 3] = ["hec-token", "password", "signing-secret"];

/// What was wrong with one answer.
pub(super) struct Finding {
    pub(super) route: &'static str,
    pub(super) text: String,
}

/// Every sample.
pub(super) fn lines() -> Vec<Line> {
    super::api::lines().into_iter().chain(super::page::lines()).collect()
}

/// Every route that is mounted, with its sample. Fails with the names of those that have none.
pub(super) fn samples() -> Vec<(Line, Demand)> {
    let missing = |routes| panic!("no sample for {routes:#?}: add a line to isolation/api.rs or isolation/page.rs");
    matched(lines()).unwrap_or_else(missing)
}

/// Every route that is mounted, with its sample among `lines`; or else those that have none.
pub(super) fn matched(lines: Vec<Line>) -> Result<Vec<(Line, Demand)>, Vec<String>> {
    let api = toktra_siem_api::routes::routes();
    let api = api.into_iter().map(|route| (format!("{} {}", route.method, route.path), Demand::Api(route.access)));
    let page = toktra_siem_page::routes::routes();
    let page = page.into_iter().map(|route| (format!("{} {}", route.method, route.path), Demand::Page(route.access)));
    let mut demands: BTreeMap<String, Demand> = api.chain(page).collect();
    let samples = lines.into_iter().map(|line| {
        let route = line.route.split('?').next().unwrap_or_default();
        let demand = demands
            .remove(route)
            .unwrap_or_else(|| panic!("{route} has a sample and is not mounted, or has two samples"));
        assert!(
            !line.path.contains('{') || line.path != route.split(' ').nth(1).unwrap_or_default(),
            "say with `of` which object {route} is about"
        );
        (line, demand)
    });
    let samples = samples.collect();
    if demands.is_empty() { Ok(samples) } else { Err(demands.into_keys().collect()) }
}

/// The state of a run.
pub(super) struct Matrix<'a> {
    pub(super) world: &'a Here,
    pub(super) victim: &'a Estate,
    pub(super) other: &'a Estate,
    pub(super) cast: &'a Cast,
    pub(super) findings: Vec<Finding>,
    /// How many questions were asked.
    pub(super) asked: usize,
}

impl<'a> Matrix<'a> {
    pub(super) fn new(world: &'a Here, victim: &'a Estate, other: &'a Estate, cast: &'a Cast) -> Self {
        Self { world, victim, other, cast, findings: Vec::new(), asked: 0 }
    }

    /// The routes of the findings.
    pub(super) fn routes(&self) -> BTreeSet<&'static str> {
        self.findings.iter().map(|finding| finding.route).collect()
    }

    pub(super) fn report(&self) -> String {
        self.findings
            .iter()
            .map(|finding| format!("{}: {}", finding.route, finding.text))
            .collect::<Vec<_>>()
            .join("\n")
    }

    async fn digest(&self) -> Digest {
        digest::of(self.world, self.victim, &self.cast.tokens).await
    }

    fn find(&mut self, line: &Line, who: &str, request: &str, what: impl std::fmt::Display) {
        self.findings.push(Finding { route: line.route, text: format!("{who}, {request}: {what}") });
    }

    /// Everything that is only looked at, and everything that must be refused. Nothing of it may change the victim.
    pub(super) async fn run(&mut self, samples: &[(Line, Demand)]) {
        let ghost = self.victim.ghost();
        let cast = self.cast;
        for (line, demand) in samples {
            let before = self.digest().await;
            for actor in cast.actors.iter().filter(|actor| actor.meets(*demand)) {
                match actor.standing {
                    // Logging in is for whoever has the password.
                    _ if is_open(*demand) && !line.reads => {}
                    _ if is_open(*demand) => self.everybody(line, actor).await,
                    Standing::Stranger(_) => self.stranger(line, actor, *demand, &ghost).await,
                    standing if standing.may(*demand) => {
                        if line.reads {
                            self.rightful(line, actor, *demand, self.victim).await;
                        }
                    }
                    _ => self.refused(line, actor).await,
                }
            }
            let changed = digest::difference(&before, &self.digest().await);
            if !changed.is_empty() {
                self.find(line, "somebody who must not", "afterwards", format!("changed {}", changed.join(", ")));
            }
        }
    }

    /// A route without a guard tells nothing of anybody.
    async fn everybody(&mut self, line: &Line, actor: &Actor) {
        if actor.standing != Standing::Nobody {
            return;
        }
        self.asked += 1;
        let (request, answer) = actor.ask(line, &line.asks()[0], self.victim, self.victim).await;
        self.leaks(line, actor, &request, &answer);
    }

    /// Whoever lacks the right is refused, whatever they name.
    async fn refused(&mut self, line: &Line, actor: &Actor) {
        let plain = line.asks().swap_remove(0);
        for ask in [&plain, &naming_org(&plain)] {
            self.asked += 1;
            let (request, answer) = actor.ask(line, ask, self.victim, self.victim).await;
            self.leaks(line, actor, &request, &answer);
            let expected: &[u16] = match (&actor.door, actor.standing) {
                (super::cast::Door::Page(_), Standing::Nobody) if line.method() == http::Method::GET => &[303],
                (_, Standing::Nobody) => &[401],
                _ => &[403],
            };
            if !expected.contains(&answer.status) {
                self.find(line, actor.name, &request, format!("{} instead of {expected:?}", answer.status));
            }
        }
    }

    /// Whoever has every right elsewhere is answered as if there were no such thing, and about their own as if there were no victim.
    async fn stranger(&mut self, line: &Line, actor: &Actor, demand: Demand, ghost: &Estate) {
        let asks = line.asks();
        let named = naming_org(&asks[0]);
        // A form about nothing but oneself is just sent: the page knows no other org.
        let at_the_page = matches!(demand, Demand::Page(_)) && !line.reads;
        for ask in asks.iter().chain((!at_the_page).then_some(&named)) {
            let means_something = ask.means_something();
            if line.path.contains('{') || means_something {
                self.twice(line, ask, actor, self.victim, ghost).await;
            }
            if line.path.contains('{') && means_something && ask.query != named.query {
                self.twice(line, ask, actor, self.other, ghost).await;
            }
        }
        if line.reads && actor.standing.may(demand) {
            self.rightful(line, actor, demand, self.other).await;
        }
    }

    /// Asks about the victim's thing and about one that does not exist: the answers say the same.
    async fn twice(&mut self, line: &Line, ask: &Ask, actor: &Actor, of_path: &Estate, ghost: &Estate) {
        self.asked += 2;
        let (request, answer) = actor.ask(line, ask, of_path, self.victim).await;
        self.leaks(line, actor, &request, &answer);
        // A cursor is a place in an order, which a ghost has none of.
        if ask.query.contains("cursor") {
            return;
        }
        let ghosts_path = if of_path.org == self.victim.org { ghost } else { of_path };
        let (_, nothing) = actor.ask(line, ask, ghosts_path, ghost).await;
        let (seen, blind) = (said(&answer, self.victim), said(&nothing, ghost));
        if seen != blind {
            self.find(line, actor.name, &request, format!("tells that it exists: {seen}\ninstead of: {blind}"));
        }
    }

    /// The sample is right: whoever may ask is shown the thing.
    async fn rightful(&mut self, line: &Line, actor: &Actor, demand: Demand, whose: &Estate) {
        for mut ask in line.asks() {
            if actor.standing == Standing::Platform && demand != Demand::Api(Access::Platform) {
                ask = naming_org(&ask);
            }
            self.asked += 1;
            let (request, answer) = actor.ask(line, &ask, whose, whose).await;
            let told = whose.told(&answer.text(), &request, &[]);
            let is_new =
                |name: &&String| !matches!(demand, Demand::Page(_)) || !IN_EVERY_FRAME.contains(&name.as_str());
            let missing: Vec<&str> = match line.shows {
                Shows::Nothing => vec![],
                Shows::These(names) if ask.query.is_empty() || ask.query == "org_id={org}" => {
                    names.iter().copied().filter(|name| !told.iter().any(|told| told == name)).collect()
                }
                // A filter or a cursor leaves some of them out; the page of an event may be where a search leads.
                _ if answer.status == 303 || told.iter().any(|name| is_new(&name)) => vec![],
                _ => vec!["anything of the org"],
            };
            if answer.status >= 400 || !missing.is_empty() {
                let what = format!("the sample is wrong: {} without {missing:?}: {}", answer.status, answer.text());
                self.find(line, actor.name, &request, what);
            }
            if actor.standing == Standing::Viewer {
                self.secrets(line, actor, &request, &answer);
            }
            self.manners(line, demand, actor, &answer);
            if whose.org != self.victim.org {
                self.leaks(line, actor, &request, &answer);
            }
        }
    }

    /// Whoever may do it changes the victim, one thing after the other. Each change leaves one line in the audit log, and no secret.
    pub(super) async fn changes(&mut self, samples: &[(Line, Demand)], at: &Actor) {
        // An admin comes first, and a platform key for what is left.
        let is_theirs =
            |demand: Demand| (demand == Demand::Api(Access::Platform)) == (at.standing == Standing::Platform);
        let mut changes: Vec<_> = samples
            .iter()
            .filter(|(line, demand)| !line.reads && at.meets(*demand) && at.standing.may(*demand) && is_theirs(*demand))
            .collect();
        changes.sort_by_key(|(line, _)| line.last);
        for (line, demand) in changes {
            // Some of the last end the session that they are made with.
            let fresh = if line.last && at.standing == Standing::Admin {
                Some(Cast::admin(self.world, self.victim, &at.door).await)
            } else {
                None
            };
            let (who, tokens) = match &fresh {
                Some((actor, token)) => (actor, std::slice::from_ref(token)),
                None => (at, &self.cast.tokens[..]),
            };
            self.asked += 1;
            let (before, lines) = (digest::of(self.world, self.victim, tokens).await, digest::lines(self.world).await);
            let (request, answer) = who.ask(line, &line.asks()[0], self.victim, self.victim).await;
            let after = digest::of(self.world, self.victim, tokens).await;
            if answer.status >= 400 || digest::difference(&before, &after).is_empty() {
                self.find(line, at.name, &request, format!("{} and nothing changed: {}", answer.status, answer.text()));
            }
            self.manners(line, *demand, at, &answer);
            let mut new = digest::lines(self.world).await;
            new.retain(|number, _| !lines.contains_key(number));
            let name = if at.standing == Standing::Admin { &*self.victim.values["admin_email"] } else { "of the cast" };
            let now = self.world.clock.now();
            let is_right = |entry: &AuditEntry| {
                entry.actor.name == name && entry.at == now && !entry.object.is_empty() && entry.action.contains('.')
            };
            if new.len() != usize::from(!line.unlogged) || !new.values().all(is_right) {
                self.find(line, at.name, &request, format!("left in the audit log: {new:?}"));
            }
            let told = format!("{new:?}");
            let secrets = SECRETS.iter().map(|secret| format!("{}-{secret}", self.victim.mark));
            let secrets = secrets.chain(["argon2", "tss_", PASSWORD, "00000000-1111-2222"].map(str::to_owned));
            for secret in secrets.filter(|secret| told.contains(secret)) {
                self.find(line, at.name, &request, format!("`{secret}` is in the audit log: {told}"));
            }
        }
    }

    /// What every answer of the API has.
    fn manners(&mut self, line: &Line, demand: Demand, actor: &Actor, answer: &Answer) {
        let Demand::Api(access) = demand else { return };
        let limited = answer.header("x-ratelimit-limit").is_some();
        let counts = !matches!(access, Access::Events | Access::Open);
        if answer.header("cache-control") != Some("no-store") || limited != counts {
            self.find(line, actor.name, "its headers", format!("{:?}", answer.headers));
        }
    }

    fn leaks(&mut self, line: &Line, actor: &Actor, request: &str, answer: &Answer) {
        let text = format!("{:?}\n{}", answer.headers, answer.text());
        let known = [line.public, actor.standing.knows()].concat();
        let told = self.victim.told(&text, request, &known);
        if !told.is_empty() {
            self.find(line, actor.name, request, format!("{} tells {}: {text}", answer.status, told.join(", ")));
        }
    }

    fn secrets(&mut self, line: &Line, actor: &Actor, request: &str, answer: &Answer) {
        let text = answer.text();
        for secret in SECRETS {
            if text.contains(&format!("{}-{secret}", self.victim.mark)) {
                self.find(line, actor.name, request, format!("shows the secret `{secret}`"));
            }
        }
    }
}

fn is_open(demand: Demand) -> bool {
    matches!(demand, Demand::Api(Access::Open) | Demand::Page(PageAccess::Open))
}

/// The same, with the victim's org named.
fn naming_org(ask: &Ask) -> Ask {
    let query = if ask.query.is_empty() { "org_id={org}".to_owned() } else { format!("{}&org_id={{org}}", ask.query) };
    Ask { query, ..ask.clone() }
}

/// What an answer says, without what differs from answer to answer.
fn said(answer: &Answer, whose: &Estate) -> String {
    let location = answer.header("location").unwrap_or_default();
    let text = redacted(&whose.blank(&format!("{location}\n{}", answer.text())));
    let text: String = if answer.status < 300
        && matches!(answer.header("content-type"), Some("application/json" | "text/event-stream"))
    {
        // Numbers count on, from one accepted event or version of a view to the next.
        text.chars().filter(|c| !c.is_ascii_digit()).collect()
    } else {
        text
    };
    format!("{} {text}", answer.status)
}
