//! Logging in by a virtual clock, and with a hash that only counts how often it is asked.

use std::sync::atomic::{AtomicUsize, Ordering};

use toktra_siem_base::clock::ManualClock;
use toktra_siem_base::random::SeededRandom;
use toktra_siem_core::ids::UserId;
use toktra_siem_core::people::Role;
use toktra_siem_store::{AuditQuery, ConfigStore as _, Memory, OrgRecord, PasswordHash, UserStore as _};
use uuid::Uuid;

use super::*;
use crate::guesses::{PER_ACCOUNT, PER_ADDRESS};
use crate::passwords::Hashing;

const ORG: OrgId = OrgId(Uuid::from_u128(1));
const START: Timestamp = Timestamp(1_736_937_000_000);
const PASSWORD: &str = "correct horse battery";

/// Keeps passwords as they are, and counts comparisons.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Hashing for Counting {
    fn hash(&self, password: &str, _: [u8; 16]) -> Option<PasswordHash> {
        Some(PasswordHash(password.to_owned()))
    }

    fn matches(&self, password: &str, hash: &PasswordHash) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        hash.0 == password
    }

    fn nobody(&self) -> PasswordHash {
        PasswordHash("nobody's password".to_owned())
    }
}

struct Scene {
    sessions: Sessions,
    store: Arc<Memory>,
    clock: Arc<ManualClock>,
    evaluated: Arc<Counting>,
}

impl Scene {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let told = Arc::clone(&clock);
        let store = Arc::new(Memory::new(Arc::new(move || told.now())));
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(1));
        let evaluated = Arc::new(Counting::default());
        let passwords = Arc::new(Passwords::new(evaluated.clone(), Arc::clone(&random)));
        let org = OrgRecord { id: ORG, name: "Acme".into(), is_default: true, created_at: START };
        store.create_org(Change { value: org, audit: audit() }).await.unwrap();
        for (n, email, role) in [(1, "jo@company.com", Role::Admin), (2, "di@company.com", Role::Viewer)] {
            let user = UserRecord {
                id: UserId(Uuid::from_u128(n)),
                org: ORG,
                email: email.parse().unwrap(),
                name: "Jo".into(),
                role,
                password: PasswordHash(PASSWORD.into()),
                created_at: START,
                last_login_at: None,
            };
            assert_eq!(
                store.create_user(ORG, Change { value: user, audit: audit() }).await.unwrap(),
                UserOutcome::Done
            );
        }
        let sessions = Sessions::new(store.clone(), clock.clone(), random, passwords);
        Self { sessions, store, clock, evaluated }
    }

    async fn login(&self, email: &str, password: &str, from: u32) -> Result<Login, LoginError> {
        self.sessions.open(email, password.into(), Some(IpAddr::from(from.to_be_bytes())), None).await
    }

    fn evaluated(&self) -> usize {
        self.evaluated.0.load(Ordering::SeqCst)
    }

    async fn actions(&self, org: Option<OrgId>) -> Vec<String> {
        let query = || AuditQuery { action: Some("session".into()), limit: 9999, ..AuditQuery::default() };
        let page = match org {
            Some(org) => toktra_siem_store::OrgStore::audit(&*self.store, org, query()).await.unwrap(),
            None => self.store.platform_audit(query()).await.unwrap(),
        };
        page.items.into_iter().rev().map(|(_, entry)| entry.action).collect()
    }
}

fn audit() -> AuditEntry {
    let (action, object, detail) = ("test".into(), String::new(), json!({}));
    AuditEntry { at: START, actor: "test".into(), action, object, detail }
}

fn hash_of(login: &Login) -> [u8; 32] {
    hash(login.token.expose_secret())
}

#[tokio::test]
async fn ten_thousand_guesses_are_evaluated_twenty_times_an_hour() {
    let scene = Scene::new().await;
    let mut limited = 0;
    for n in 0..10_000u32 {
        match scene.login("jo@company.com", &format!("guess number {n}"), n).await {
            Err(LoginError::Wrong) => {}
            Err(LoginError::Limited { wait }) => {
                limited += 1;
                assert!(!wait.is_zero() && wait <= Duration::from_hours(1));
            }
            _ => panic!("nobody may pass"),
        }
        scene.clock.advance(Duration::from_secs(1));
    }
    let hours = 10_000_usize.div_ceil(3_600);
    assert_eq!((scene.evaluated(), limited), (hours * PER_ACCOUNT, 10_000 - hours * PER_ACCOUNT));
    assert_eq!(scene.actions(Some(ORG)).await, vec!["session.limit"; hours]);
}

#[tokio::test]
async fn an_address_is_limited_over_all_accounts() {
    let scene = Scene::new().await;
    for n in 0..1_000 {
        assert!(scene.login(&format!("user{n}@company.com"), "a guess of some length", 7).await.is_err());
    }
    assert_eq!(scene.evaluated(), PER_ADDRESS);
    assert!(matches!(scene.login("jo@company.com", PASSWORD, 7).await, Err(LoginError::Limited { .. })));
    scene.login("jo@company.com", PASSWORD, 8).await.unwrap();
}

#[tokio::test]
async fn nobody_and_somebody_cannot_be_told_apart_and_during_the_lock_the_right_password_is_refused() {
    let scene = Scene::new().await;
    let mut told = Vec::new();
    for (email, from) in [("jo@company.com", 0), ("nobody@company.com", 1000)] {
        let before = scene.evaluated();
        let mut answers = Vec::new();
        for n in 0..PER_ACCOUNT + 3 {
            let refused = scene.login(email, "not the right one", from + u32::try_from(n).unwrap()).await;
            answers.push(refused.err().map(|error| error.to_string()));
        }
        told.push((answers, scene.evaluated() - before));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].1, PER_ACCOUNT);
    assert_eq!(scene.actions(Some(ORG)).await, ["session.limit"]);
    assert_eq!(scene.actions(None).await, ["session.limit"], "as much is written for nobody");
    let page = scene.store.platform_audit(AuditQuery { limit: 9, ..AuditQuery::default() }).await.unwrap();
    assert!(!format!("{page:?}").contains("nobody"), "what was typed is not kept");

    let locked = scene.login(" JO@company.com ", PASSWORD, 5000).await;
    assert!(matches!(locked, Err(LoginError::Limited { .. })));
    scene.clock.advance(Duration::from_hours(1));
    scene.login("JO@company.com", PASSWORD, 5000).await.unwrap();
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_at_its_longest() {
    let scene = Scene::new().await;
    let login = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    assert!(login.token.expose_secret().starts_with(PREFIX) && login.token.expose_secret().len() == PREFIX.len() + 64);
    let hash = hash_of(&login);
    let holds = async || scene.sessions.find(hash).await.unwrap().is_some();
    let almost = IDLE.saturating_sub(Duration::from_millis(1));
    let mut passed = Duration::ZERO;
    while passed + almost < LONGEST {
        scene.clock.advance(almost);
        passed += almost;
        assert!(holds().await, "used within its idle time, after {passed:?}");
    }
    let session = scene.sessions.find(hash).await.unwrap().unwrap();
    assert_eq!(session.expires_at(), START.plus(LONGEST));
    scene.clock.advance(LONGEST.saturating_sub(passed));
    assert!(!holds().await, "two weeks after the login");

    let login = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    scene.clock.advance(IDLE);
    assert_eq!(scene.sessions.find(hash_of(&login)).await.unwrap(), None, "not used for its idle time");
}

#[tokio::test]
async fn use_is_noted_to_the_minute() {
    let scene = Scene::new().await;
    let hash = hash_of(&scene.login("jo@company.com", PASSWORD, 1).await.unwrap());
    let seen = async || scene.sessions.find(hash).await.unwrap().unwrap().record.seen_at;
    scene.clock.advance(Duration::from_secs(59));
    assert_eq!(seen().await, START);
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(seen().await, START.plus(Duration::from_mins(1)));
}

#[tokio::test]
async fn logout_login_and_a_changed_password_end_what_was_before() {
    let scene = Scene::new().await;
    let holds = async |login: &Login| scene.sessions.find(hash_of(login)).await.unwrap().is_some();
    let first = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    scene.sessions.end(&first.session).await.unwrap();
    scene.sessions.end(&first.session).await.unwrap();
    assert!(!holds(&first).await);

    let other = scene.login("di@company.com", PASSWORD, 1).await.unwrap();
    let second = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    let from = Some(IpAddr::from([10, 0, 0, 1]));
    let third = scene.sessions.open("jo@company.com", PASSWORD.into(), from, Some(hash_of(&second))).await.unwrap();
    scene.sessions.open("jo@company.com", PASSWORD.into(), from, Some(hash_of(&other))).await.unwrap();
    assert!(!holds(&second).await && holds(&third).await && holds(&other).await);

    let new = "an entirely different one";
    let wrong = scene.sessions.change_password(&third.session, "not the present one".into(), new.into(), from).await;
    assert!(matches!(wrong, Err(LoginError::Wrong)) && holds(&third).await);
    let session = scene.sessions.find(hash_of(&third)).await.unwrap().unwrap();
    let renewed = scene.sessions.change_password(&session, PASSWORD.into(), new.into(), from).await.unwrap();
    assert!(!holds(&third).await && holds(&renewed).await && holds(&other).await);
    assert!(matches!(scene.login("jo@company.com", PASSWORD, 1).await, Err(LoginError::Wrong)));
    scene.login("jo@company.com", new, 1).await.unwrap();
}

#[tokio::test]
async fn a_stolen_session_guesses_the_password_no_oftener_than_a_stranger() {
    let scene = Scene::new().await;
    let login = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    let mut limited = 0;
    for _ in 0..100 {
        let guess = scene.sessions.change_password(&login.session, "a guess".into(), "x".into(), None).await;
        limited += usize::from(matches!(guess, Err(LoginError::Limited { .. })));
    }
    assert_eq!((scene.evaluated(), limited), (PER_ACCOUNT, 100 - (PER_ACCOUNT - 1)));
}
