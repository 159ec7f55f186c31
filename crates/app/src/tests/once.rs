//! A request with a key is done once, and never twice where nobody knows whether it was done.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::once::{Earlier, Once, run};
use crate::{Code, Refusal, keys, secrets, users};
use http::StatusCode;

fn request(world: &World, caller: &Caller, key: &str, said: &str) -> Once {
    Once::new(&world.app, caller, key.as_bytes(), &[b"test"], &[said.as_bytes()]).unwrap()
}

/// Asks for something that comes to `outcome`, under `key`; counts how often it is run.
async fn ask(
    world: &World,
    caller: &Caller,
    (key, said): (&str, &str),
    ran: &Arc<AtomicU32>,
    outcome: Result<u32, Refusal>,
) -> Result<u32, Refusal> {
    let ran = Arc::clone(ran);
    let doing = async move {
        ran.fetch_add(1, Ordering::SeqCst);
        outcome
    };
    run(&world.app, request(world, caller, key, said), doing).await
}

#[tokio::test]
async fn the_same_request_is_run_once_and_another_under_its_key_is_refused() {
    let (world, ran) = (World::new().await, Arc::default());
    let (ada, bob) = (world.admin().await, world.admin().await);
    assert_eq!(ask(&world, &ada, ("k", "x"), &ran, Ok(1)).await, Ok(1));
    assert_eq!(ask(&world, &ada, ("k", "x"), &ran, Ok(2)).await, Ok(1), "what came of the first");
    let other = ask(&world, &ada, ("k", "y"), &ran, Ok(3)).await.unwrap_err();
    assert_eq!((other.code, Earlier::of(&other)), (Code::IdempotencyMismatch, Some(Earlier::Other)));
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    assert_eq!(ask(&world, &bob, ("k", "x"), &ran, Ok(4)).await, Ok(4), "keys are everybody's own");
}

#[tokio::test]
async fn what_was_not_done_may_be_tried_again_and_what_may_have_been_done_may_not() {
    let (world, ran) = (World::new().await, Arc::default());
    let ada = world.admin().await;
    for undone in [Refusal::conflict("x"), Refusal::queue_full(), Refusal::unavailable()] {
        assert!(ask(&world, &ada, ("k", ""), &ran, Err(undone)).await.is_err());
    }
    assert_eq!(ran.load(Ordering::SeqCst), 3);
    let failure = || toktra_siem_store::StoreError::Unavailable { context: "x", source: "gone".into() };
    for (key, unsure) in [("a", Refusal::store("thing", failure())), ("b", Refusal::internal())] {
        assert!(ask(&world, &ada, (key, ""), &ran, Err(unsure)).await.is_err());
        let again = ask(&world, &ada, (key, ""), &ran, Ok(1)).await.unwrap_err();
        assert_eq!((again.status, Earlier::of(&again)), (StatusCode::CONFLICT, Some(Earlier::Unknown)), "{again}");
    }
    assert_eq!(ran.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn two_at_the_same_moment_are_run_once() {
    let world = World::new().await;
    let ada = world.admin().await;
    let (ran, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(tokio::sync::Notify::new()));
    let slow = || {
        let (ran, gate) = (ran.clone(), gate.clone());
        run(&world.app, request(&world, &ada, "k", ""), async move {
            ran.fetch_add(1, Ordering::SeqCst);
            gate.notified().await;
            Ok(7_u32)
        })
    };
    let opened = async {
        while ran.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        gate.notify_one();
    };
    let (first, second, ()) = tokio::join!(slow(), slow(), opened);
    assert_eq!((first, second, ran.load(Ordering::SeqCst)), (Ok(7), Ok(7), 1));
}

#[tokio::test]
async fn an_answer_shows_its_secret_again_as_long_as_secrets_can_be_shown() {
    let world = World::new().await;
    let ada = world.admin().await;
    let key = || {
        let (app, ada) = (world.app.clone(), ada.clone());
        let wish = Object::of(&json!({ "name": "CI", "scopes": ["siem:read"] }));
        run(&world.app, request(&world, &ada.clone(), "k", ""), async move { keys::create(&app, &ada, wish).await })
    };
    // Here the secret is a member that need not be there.
    let person = || {
        let (app, ada) = (world.app.clone(), ada.clone());
        let wish = json!({ "name": "Vic", "email": "vic@company.example", "role": "viewer", "make_password": true });
        let wish = Object::of(&wish);
        run(&world.app, request(&world, &ada.clone(), "p", ""), async move { users::create(&app, &ada, wish).await })
    };
    let (made, added) = (key().await.unwrap(), person().await.unwrap());
    assert_eq!(key().await.unwrap().key.text(), made.key.text());
    assert_eq!(person().await.unwrap().password.unwrap().text(), added.password.unwrap().text());
    assert!(!format!("{made:?}").contains(made.key.text()));
    world.clock.advance(secrets::SHOWN_FOR);
    for late in [key().await.unwrap_err(), person().await.unwrap_err()] {
        assert_eq!((late.status, Earlier::of(&late)), (StatusCode::CONFLICT, Some(Earlier::Hidden)), "{late}");
    }
    assert_eq!(world.actions(ORG).await, ["api_key.create", "user.create"]);
}
