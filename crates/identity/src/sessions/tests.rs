//! Logging in by a virtual clock, and with a hash that only counts how often it is asked.

use std::sync::atomic::{AtomicUsize, Ordering};

use toktra_siem_base::clock::ManualClock;
use toktra_siem_base::random::SeededRandom;
use toktra_siem_base::vault::Vault;
use toktra_siem_core::ids::UserId;
use toktra_siem_core::people::Role;
use toktra_siem_store::{AuditQuery, ConfigStore as _, Memory, OrgRecord, PasswordHash, UserStore as _};
use uuid::Uuid;

use super::*;
use crate::guesses::{PER_ACCOUNT, PER_ADDRESS, PER_PAIR, PER_SESSION};
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
        let key = secrecy::SecretBox::new(Box::new([7; 32]));
        let devices = Devices::new(&Vault::new(&key, &[], Arc::clone(&random)));
        let sessions = Sessions::new(store.clone(), clock.clone(), random, passwords, devices);
        Self { sessions, store, clock, evaluated }
    }

    async fn login(&self, email: &str, password: &str, from: u32) -> Result<Login, LoginError> {
        self.log_in(email, password, from, None, None).await
    }

    async fn log_in(
        &self,
        email: &str,
        password: &str,
        from: u32,
        device: Option<&SecretString>,
        older: Option<[u8; 32]>,
    ) -> Result<Login, LoginError> {
        let (from, device) = (Some(IpAddr::from(from.to_be_bytes())), device.map(secrecy::ExposeSecret::expose_secret));
        self.sessions.open(Credentials { email, password: password.into(), from, device, older }).await
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

/// A budget, to count with.
fn count(budget: u32) -> usize {
    usize::try_from(budget).unwrap()
}

#[tokio::test]
async fn ten_thousand_guesses_from_as_many_addresses_are_evaluated_some_hundred_times() {
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
    assert_eq!(scene.evaluated() + limited, 10_000);
    assert!((count(PER_ACCOUNT)..=4 * count(PER_ACCOUNT)).contains(&scene.evaluated()), "{}", scene.evaluated());
    let hours = 10_000_usize.div_ceil(3_600);
    assert!(scene.actions(Some(ORG)).await.len() <= hours, "one line an hour");
}

#[tokio::test]
async fn wrong_passwords_from_elsewhere_lock_nobody_out() {
    let scene = Scene::new().await;
    let known = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    for _ in 0..100 {
        assert!(scene.login("jo@company.com", "a guess", 666).await.is_err());
    }
    assert_eq!(scene.evaluated(), 1 + count(PER_PAIR));
    scene.login("jo@company.com", PASSWORD, 2).await.unwrap();
    assert!(matches!(scene.login("jo@company.com", PASSWORD, 666).await, Err(LoginError::Limited { .. })));
    scene.log_in("jo@company.com", PASSWORD, 666, Some(&known.device), None).await.unwrap();
}

#[tokio::test]
async fn a_known_device_passes_while_the_whole_world_guesses_and_helps_nobody_else() {
    let scene = Scene::new().await;
    let known = scene.login("jo@company.com", PASSWORD, 1).await.unwrap().device;
    let other = scene.login("di@company.com", PASSWORD, 3).await.unwrap().device;
    for n in 0..500 {
        assert!(scene.login("jo@company.com", "a guess", 1_000 + n).await.is_err());
    }
    for device in [None, Some(&other), Some(&SecretString::from("tsd_00"))] {
        let outcome = scene.log_in("jo@company.com", PASSWORD, 2, device, None).await;
        assert!(matches!(outcome, Err(LoginError::Limited { .. })));
    }
    let renewed = scene.log_in("jo@company.com", PASSWORD, 2, Some(&known), None).await.unwrap();
    scene.log_in("jo@company.com", PASSWORD, 4, Some(&renewed.device), None).await.unwrap();
    scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    let before = scene.evaluated();
    for n in 0..500 {
        assert!(scene.log_in("jo@company.com", "a guess", 9_000 + n, Some(&known), None).await.is_err());
    }
    assert_eq!(scene.evaluated() - before, count(crate::guesses::PER_DEVICE), "a stolen one guesses no oftener");
}

#[tokio::test]
async fn a_person_is_told_how_many_attempts_failed_since_their_last_login() {
    let scene = Scene::new().await;
    let first = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    assert_eq!((first.failed_attempts, first.previous_login_at), (0, None));
    for _ in 0..12 {
        assert!(scene.login("jo@company.com", "a guess", 666).await.is_err());
    }
    scene.clock.advance(Duration::from_secs(5));
    let second = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    assert_eq!((second.failed_attempts, second.previous_login_at), (12, Some(START)));
    // Also those that were refused unseen.
    for _ in 0..100 {
        assert!(scene.login("jo@company.com", "a guess", 777).await.is_err());
    }
    assert_eq!(scene.login("jo@company.com", PASSWORD, 1).await.unwrap().failed_attempts, 100);
    assert_eq!(scene.login("jo@company.com", PASSWORD, 1).await.unwrap().failed_attempts, 0);
}

#[tokio::test]
async fn an_address_is_limited_over_all_accounts_and_one_person_does_not_use_it_up() {
    let scene = Scene::new().await;
    for n in 0..10 {
        for _ in 0..30 {
            assert!(scene.login(&format!("mine{n}@company.com"), "a guess of some length", 7).await.is_err());
        }
    }
    scene.login("jo@company.com", PASSWORD, 7).await.unwrap();
    let before = scene.evaluated();
    for n in 0..1_000 {
        assert!(scene.login(&format!("user{n}@company.com"), "a guess of some length", 7).await.is_err());
    }
    assert_eq!(scene.evaluated() - before, count(PER_ADDRESS - 10 * PER_PAIR));
    assert!(matches!(scene.login("di@company.com", PASSWORD, 7).await, Err(LoginError::Limited { .. })));
    scene.login("jo@company.com", PASSWORD, 7).await.unwrap();
    scene.login("di@company.com", PASSWORD, 8).await.unwrap();
}

#[tokio::test]
async fn right_passwords_cost_nothing() {
    let scene = Scene::new().await;
    for n in 0..1_000 {
        scene.login("jo@company.com", PASSWORD, n % 3).await.unwrap();
    }
    for _ in 0..PER_PAIR {
        assert!(matches!(scene.login("jo@company.com", "a guess", 9).await, Err(LoginError::Wrong)));
    }
}

#[tokio::test]
async fn nobody_and_somebody_cannot_be_told_apart() {
    let scene = Scene::new().await;
    let mut told = Vec::new();
    for (email, from) in [("jo@company.com", 0), ("nobody@company.com", 1000)] {
        let before = scene.evaluated();
        let mut answers = Vec::new();
        for n in 0..PER_ACCOUNT + 3 {
            let refused = scene.login(email, "not the right one", from + n).await;
            answers.push(refused.err().map(|error| error.to_string()));
        }
        told.push((answers, scene.evaluated() - before));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].1, count(PER_ACCOUNT));
    assert_eq!(scene.actions(Some(ORG)).await, ["session.limit"]);
    assert_eq!(scene.actions(None).await, ["session.limit"], "as much is written for nobody");
    let page = scene.store.platform_audit(AuditQuery { limit: 9, ..AuditQuery::default() }).await.unwrap();
    assert!(!format!("{page:?}").contains("nobody"), "what was typed is not kept");
    scene.clock.advance(Duration::from_hours(1));
    scene.login("JO@company.com", PASSWORD, 5000).await.unwrap();
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_at_its_longest() {
    let scene = Scene::new().await;
    let login = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    assert!(login.token.expose_secret().starts_with(PREFIX) && login.token.expose_secret().len() == PREFIX.len() + 64);
    let hash = hash_of(&login);
    let holds = async || scene.sessions.find(hash, true).await.unwrap().is_some();
    let almost = IDLE.saturating_sub(Duration::from_millis(1));
    let mut passed = Duration::ZERO;
    while passed + almost < LONGEST {
        scene.clock.advance(almost);
        passed += almost;
        assert!(holds().await, "used within its idle time, after {passed:?}");
    }
    let session = scene.sessions.find(hash, true).await.unwrap().unwrap();
    assert_eq!(session.expires_at(), START.plus(LONGEST));
    scene.clock.advance(LONGEST.saturating_sub(passed));
    assert!(!holds().await, "two weeks after the login");

    let login = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    scene.clock.advance(IDLE);
    assert_eq!(scene.sessions.find(hash_of(&login), true).await.unwrap(), None, "not used for its idle time");
}

#[tokio::test]
async fn who_only_watches_is_idle() {
    let scene = Scene::new().await;
    let hash = hash_of(&scene.login("jo@company.com", PASSWORD, 1).await.unwrap());
    let watches = async || scene.sessions.find(hash, false).await.unwrap();
    scene.clock.advance(IDLE / 2);
    assert_eq!(watches().await.unwrap().expires_at(), START.plus(IDLE));
    scene.clock.advance(IDLE / 2);
    assert_eq!(watches().await, None);
}

#[tokio::test]
async fn use_is_noted_to_the_minute() {
    let scene = Scene::new().await;
    let hash = hash_of(&scene.login("jo@company.com", PASSWORD, 1).await.unwrap());
    let seen = async || scene.sessions.find(hash, true).await.unwrap().unwrap().record.seen_at;
    scene.clock.advance(Duration::from_secs(59));
    assert_eq!(seen().await, START);
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(seen().await, START.plus(Duration::from_mins(1)));
}

#[tokio::test]
async fn logout_login_and_a_changed_password_end_what_was_before() {
    let scene = Scene::new().await;
    let holds = async |login: &Login| scene.sessions.find(hash_of(login), true).await.unwrap().is_some();
    let first = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    scene.sessions.end(&first.session).await.unwrap();
    scene.sessions.end(&first.session).await.unwrap();
    assert!(!holds(&first).await);

    let other = scene.login("di@company.com", PASSWORD, 1).await.unwrap();
    let second = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    let from = Some(IpAddr::from([10, 0, 0, 1]));
    let third = scene.log_in("jo@company.com", PASSWORD, 1, None, Some(hash_of(&second))).await.unwrap();
    scene.log_in("jo@company.com", PASSWORD, 1, None, Some(hash_of(&other))).await.unwrap();
    assert!(!holds(&second).await && holds(&third).await && holds(&other).await);

    let new = "an entirely different one";
    let wrong = scene.sessions.change_password(&third.session, "not the present one".into(), new.into(), from).await;
    assert!(matches!(wrong, Err(LoginError::Wrong)) && holds(&third).await);
    let session = scene.sessions.find(hash_of(&third), true).await.unwrap().unwrap();
    let renewed = scene.sessions.change_password(&session, PASSWORD.into(), new.into(), from).await.unwrap();
    assert!(!holds(&third).await && holds(&renewed).await && holds(&other).await);
    assert!(matches!(scene.login("jo@company.com", PASSWORD, 1).await, Err(LoginError::Wrong)));
    scene.login("jo@company.com", new, 1).await.unwrap();
}

#[tokio::test]
async fn the_present_password_has_guesses_of_its_own_in_each_session() {
    let scene = Scene::new().await;
    let login = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    let stolen = scene.login("jo@company.com", PASSWORD, 1).await.unwrap();
    for n in 0..500 {
        assert!(scene.login("jo@company.com", "a guess", n).await.is_err());
    }
    let before = scene.evaluated();
    let mut limited = 0;
    for _ in 0..100 {
        let guess = scene.sessions.change_password(&stolen.session, "a guess".into(), "x".into(), None).await;
        limited += usize::from(matches!(guess, Err(LoginError::Limited { .. })));
    }
    assert_eq!((scene.evaluated() - before, limited), (count(PER_SESSION), 100 - count(PER_SESSION)));
    let new = "an entirely different one";
    scene.sessions.change_password(&login.session, PASSWORD.into(), new.into(), None).await.unwrap();
}
