//! People of an org, and their sessions.

use std::time::Duration;

use toktra_siem_core::people::{Email, Role};

use super::World;
use super::world::refused;
use crate::{AuditQuery, PasswordHash, SessionRecord, StoreError, UserOutcome, UserRecord, UserSave};

/// A person of the default org who is not stored yet.
pub fn person(world: &World, email: &str, role: Role) -> UserRecord {
    UserRecord {
        id: world.user_id(),
        org: world.org,
        email: email.parse().unwrap(),
        name: "Jo".into(),
        role,
        password: PasswordHash("hash 1".into()),
        created_at: world.now(),
        last_login_at: None,
    }
}

/// A change that keeps an admin and opens no session.
pub fn save(before: &UserRecord, after: UserRecord) -> UserSave {
    UserSave { before: before.clone(), after, keep_admin: true, opens: None }
}

/// Makes a person of the default org.
pub async fn added(world: &World, email: &str, role: Role) -> UserRecord {
    let record = person(world, email, role);
    let outcome = world.store.create_user(record.org, world.change(record.clone())).await.unwrap();
    assert_eq!(outcome, UserOutcome::Done);
    record
}

async fn changed(world: &World, save: UserSave) -> UserOutcome {
    world.store.save_user(world.org, world.change(save)).await.unwrap()
}

async fn removed(world: &World, user: &UserRecord, keep_admin: bool) -> UserOutcome {
    let audit = world.audit("user.delete", &user.id);
    world.store.delete_user(world.org, user.id, keep_admin, audit).await.unwrap()
}

/// Opens a session whose token's hash is this byte over and over.
pub async fn opened(world: &World, user: &UserRecord, byte: u8) -> SessionRecord {
    let now = world.now();
    let session = SessionRecord { hash: [byte; 32], user: user.id, created_at: now, seen_at: now };
    world.store.open_session(world.change(session.clone()), user.password.clone(), None).await.unwrap();
    session
}

async fn lines(world: &World) -> usize {
    let query = AuditQuery { limit: 999, ..AuditQuery::default() };
    world.store.audit(world.org, query).await.unwrap().items.len()
}

/// Added, read, changed, removed; each leaves its line.
pub async fn come_and_go(world: &World) {
    let store = &world.store;
    let before = lines(world).await;
    let (first, second) = (added(world, "a@x.com", Role::Admin).await, added(world, "b@x.com", Role::Viewer).await);
    assert_eq!(store.users(world.org).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(store.user(world.org, second.id).await.unwrap(), second);
    assert_eq!(store.user_by_email(&second.email).await.unwrap(), Some(second.clone()));
    let nobody: Email = "c@x.com".parse().unwrap();
    assert_eq!(store.user_by_email(&nobody).await.unwrap(), None);
    refused!(
        store.create_user(world.org, world.change(UserRecord { email: nobody, ..first.clone() })).await,
        StoreError::Conflict(_)
    );

    let after = UserRecord {
        email: "d@x.com".parse().unwrap(),
        name: "Di".into(),
        role: Role::Admin,
        password: PasswordHash("hash 2".into()),
        ..second.clone()
    };
    assert_eq!(changed(world, save(&second, after.clone())).await, UserOutcome::Done);
    assert_eq!(store.user(world.org, second.id).await.unwrap(), after);
    assert_eq!(store.user_by_email(&second.email).await.unwrap(), None);
    assert_eq!(removed(world, &first, true).await, UserOutcome::Done);
    refused!(store.user(world.org, first.id).await, StoreError::NotFound);
    assert_eq!(store.users(world.org).await.unwrap(), [after]);
    assert_eq!(lines(world).await, before + 4);
}

/// Nobody shares an address with anybody, also of another org.
pub async fn an_address_is_taken_over_the_whole_service(world: &World) {
    let other = world.other_org().await;
    let jo = added(world, "jo@x.com", Role::Admin).await;
    let again = UserRecord { org: other, ..person(world, "JO@x.com ", Role::Viewer) };
    let outcome = world.store.create_user(other, world.change(again)).await.unwrap();
    assert_eq!(outcome, UserOutcome::EmailTaken);
    let di = added(world, "di@x.com", Role::Viewer).await;
    let before = lines(world).await;
    let taken = UserRecord { email: jo.email.clone(), ..di.clone() };
    assert_eq!(changed(world, save(&di, taken)).await, UserOutcome::EmailTaken);
    assert_eq!(lines(world).await, before);
    assert_eq!(changed(world, save(&jo, UserRecord { name: "J".into(), ..jo.clone() })).await, UserOutcome::Done);
    assert!(world.store.users(other).await.unwrap().is_empty());
}

/// The last admin stays one, unless the caller insists.
pub async fn an_admin_is_left(world: &World) {
    let admin = added(world, "a@x.com", Role::Admin).await;
    let viewer = added(world, "b@x.com", Role::Viewer).await;
    let demoted = UserRecord { role: Role::Viewer, ..admin.clone() };
    assert_eq!(changed(world, save(&admin, demoted.clone())).await, UserOutcome::LastAdmin);
    assert_eq!(removed(world, &admin, true).await, UserOutcome::LastAdmin);
    let promoted = UserRecord { role: Role::Admin, ..viewer.clone() };
    assert_eq!(changed(world, save(&viewer, promoted.clone())).await, UserOutcome::Done);
    assert_eq!(changed(world, save(&admin, demoted.clone())).await, UserOutcome::Done);
    let insists = UserSave { keep_admin: false, ..save(&promoted, viewer.clone()) };
    assert_eq!(changed(world, insists).await, UserOutcome::Done);
    assert_eq!(removed(world, &demoted, true).await, UserOutcome::Done, "whoever is no admin may go");
    let alone = added(world, "c@x.com", Role::Admin).await;
    assert_eq!(removed(world, &alone, false).await, UserOutcome::Done);
}

/// A change that was made on what is not there any more is refused; a login in between is none.
pub async fn a_change_is_compared(world: &World) {
    let jo = added(world, "a@x.com", Role::Admin).await;
    world.pass(5);
    opened(world, &jo, 1).await;
    let renamed = UserRecord { name: "J".into(), ..jo.clone() };
    assert_eq!(changed(world, save(&jo, renamed.clone())).await, UserOutcome::Done);
    let before = lines(world).await;
    assert_eq!(changed(world, save(&jo, renamed.clone())).await, UserOutcome::Moved);
    assert_eq!(lines(world).await, before);
    let stored = world.store.user(world.org, jo.id).await.unwrap();
    assert_eq!(stored, UserRecord { last_login_at: Some(world.now()), ..renamed });
}

/// Opened, found by their hash, used, ended.
pub async fn sessions(world: &World) {
    let store = &world.store;
    let jo = added(world, "a@x.com", Role::Admin).await;
    let before = lines(world).await;
    world.pass(1_000);
    let session = opened(world, &jo, 1).await;
    let jo = UserRecord { last_login_at: Some(world.now()), ..jo };
    assert_eq!(store.session_by_hash([1; 32]).await.unwrap(), Some((session.clone(), jo.clone())));
    assert_eq!(store.session_by_hash([2; 32]).await.unwrap(), None);
    world.pass(60_000);
    store.touch_session([1; 32], world.now()).await.unwrap();
    store.touch_session([2; 32], world.now()).await.unwrap();
    let used = SessionRecord { seen_at: world.now(), ..session };
    store.touch_session([1; 32], used.created_at).await.unwrap();
    assert_eq!(store.session_by_hash([1; 32]).await.unwrap(), Some((used, jo.clone())), "time does not go back");
    opened(world, &jo, 2).await;
    let audit = || world.audit("session.end", &jo.id);
    store.end_session([1; 32], audit()).await.unwrap();
    assert_eq!(store.session_by_hash([1; 32]).await.unwrap(), None);
    assert!(store.session_by_hash([2; 32]).await.unwrap().is_some());
    refused!(store.end_session([1; 32], audit()).await, StoreError::NotFound);
    assert_eq!(lines(world).await, before + 3);
    let di = added(world, "b@x.com", Role::Viewer).await;
    let now = world.now();
    for (byte, user, remain) in [(3, &di, true), (4, &jo, false)] {
        let session = SessionRecord { hash: [byte; 32], user: user.id, created_at: now, seen_at: now };
        let replaced = Some([2; 32]);
        store.open_session(world.change(session), user.password.clone(), replaced).await.unwrap();
        let there = store.session_by_hash([2; 32]).await.unwrap().is_some();
        assert_eq!(there, remain, "a login replaces an older session of the same person only");
    }
}

/// Role and password end sessions, and one may be opened in their place; another name or address does not. Removal ends all.
pub async fn role_and_password_end_sessions(world: &World) {
    let store = &world.store;
    added(world, "admin@x.com", Role::Admin).await;
    let jo = added(world, "jo@x.com", Role::Viewer).await;
    let other = added(world, "di@x.com", Role::Viewer).await;
    opened(world, &other, 9).await;
    let there = async |byte: u8| store.session_by_hash([byte; 32]).await.unwrap().is_some();
    opened(world, &jo, 1).await;
    opened(world, &jo, 2).await;
    let renamed = UserRecord { name: "J".into(), email: "j@x.com".parse().unwrap(), ..jo.clone() };
    assert_eq!(changed(world, save(&jo, renamed.clone())).await, UserOutcome::Done);
    assert!(there(1).await && there(2).await);
    let password = UserRecord { password: PasswordHash("hash 2".into()), ..renamed.clone() };
    let now = world.now();
    let opens = SessionRecord { hash: [4; 32], user: jo.id, created_at: now, seen_at: now };
    let reopening = UserSave { opens: Some(opens), ..save(&renamed, password.clone()) };
    assert_eq!(changed(world, reopening).await, UserOutcome::Done);
    assert!(!there(1).await && !there(2).await && there(4).await);
    let promoted = UserRecord { role: Role::Admin, ..password.clone() };
    assert_eq!(changed(world, save(&password, promoted.clone())).await, UserOutcome::Done);
    assert!(!there(4).await);
    opened(world, &promoted, 3).await;
    assert_eq!(removed(world, &promoted, true).await, UserOutcome::Done);
    assert!(!there(3).await && there(9).await);
}

/// Nobody logs in with a password that was changed while it was checked, nor when they are gone.
pub async fn a_login_is_refused_after_a_change(world: &World) {
    let jo = added(world, "jo@x.com", Role::Admin).await;
    let changed_user = UserRecord { password: PasswordHash("hash 2".into()), ..jo.clone() };
    assert_eq!(changed(world, save(&jo, changed_user.clone())).await, UserOutcome::Done);
    let before = lines(world).await;
    let now = world.now();
    let session = SessionRecord { hash: [1; 32], user: jo.id, created_at: now, seen_at: now };
    let open = async |verified: &PasswordHash| {
        world.store.open_session(world.change(session.clone()), verified.clone(), None).await
    };
    refused!(open(&jo.password).await, StoreError::NotFound);
    assert_eq!(lines(world).await, before);
    open(&changed_user.password).await.unwrap();
    assert_eq!(removed(world, &changed_user, false).await, UserOutcome::Done);
    refused!(open(&changed_user.password).await, StoreError::NotFound);
}

/// Sessions that were idle or open for too long are removed.
pub async fn sessions_expire(world: &World) {
    let store = &world.store;
    let jo = added(world, "jo@x.com", Role::Admin).await;
    let start = world.now();
    for byte in 1..=3 {
        opened(world, &jo, byte).await;
        world.pass(1_000);
    }
    store.touch_session([1; 32], world.now()).await.unwrap();
    let at = |secs| start.plus(Duration::from_secs(secs));
    assert_eq!(store.expire_sessions(at(0), at(1)).await.unwrap(), 0);
    assert_eq!(store.expire_sessions(at(0), at(2)).await.unwrap(), 1, "the second was not used since");
    assert_eq!(store.session_by_hash([2; 32]).await.unwrap(), None);
    assert_eq!(store.expire_sessions(at(2), at(2)).await.unwrap(), 1, "the first is too old, although it was used");
    assert!(store.session_by_hash([3; 32]).await.unwrap().is_some());
}

/// An org takes its people and their sessions with it, and their addresses are free again.
pub async fn go_with_their_org(world: &World) {
    let store = &world.store;
    let other = world.other_org().await;
    let ours = added(world, "a@x.com", Role::Admin).await;
    opened(world, &ours, 1).await;
    let theirs = UserRecord { org: other, ..person(world, "jo@x.com", Role::Admin) };
    assert_eq!(store.create_user(other, world.change(theirs.clone())).await.unwrap(), UserOutcome::Done);
    opened(world, &theirs, 2).await;
    store.delete_org(other, world.audit("org.delete", &other)).await.unwrap();
    assert_eq!(store.session_by_hash([2; 32]).await.unwrap(), None);
    assert_eq!(store.user_by_email(&theirs.email).await.unwrap(), None);
    refused!(store.users(other).await, StoreError::NotFound);
    assert!(store.session_by_hash([1; 32]).await.unwrap().is_some());
    added(world, "jo@x.com", Role::Viewer).await;
}

/// Failed attempts are counted for each person until their next login, which tells how many there were.
pub async fn failed_logins_are_counted(world: &World) {
    let store = &world.store;
    let (jo, di) = (added(world, "jo@x.com", Role::Admin).await, added(world, "di@x.com", Role::Viewer).await);
    let login = async |user: &UserRecord, byte: u8| {
        let now = world.now();
        let session = SessionRecord { hash: [byte; 32], user: user.id, created_at: now, seen_at: now };
        store.open_session(world.change(session), user.password.clone(), None).await.unwrap()
    };
    for _ in 0..12 {
        store.note_failed_login(jo.id);
    }
    store.note_failed_login(world.user_id());
    assert_eq!((login(&di, 1).await, login(&jo, 2).await, login(&jo, 3).await), (0, 12, 0));
    store.note_failed_login(jo.id);
    let renamed = UserRecord { name: "J".into(), ..store.user(world.org, jo.id).await.unwrap() };
    let before = store.user(world.org, jo.id).await.unwrap();
    assert_eq!(changed(world, save(&before, renamed)).await, UserOutcome::Done);
    assert_eq!(login(&jo, 4).await, 1, "another name changes nothing about it");
}
