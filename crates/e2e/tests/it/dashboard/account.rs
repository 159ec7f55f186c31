//! One's own account, and what the end of a session looks like.

use std::time::Duration;

use toktra_siem_testkit::prelude::*;

const NEW: &str = "canary of another morning";

#[tokio::test]
async fn everybody_sees_who_they_are_and_until_when() {
    let (world, tab) = World::here_as_viewer().await;
    world.pass(Duration::from_hours(2));
    insta::assert_snapshot!("account", content(&tab.get("/account").await.expect_status(200)));
}

#[tokio::test]
async fn a_new_password_ends_every_other_session_and_keeps_this_one() {
    let (world, tab) = World::here_as_viewer().await;
    let other = Tab::new(&world);
    other.log_in("vic@company.example").await;
    let answer = tab.post("/account/password", &[("current", PASSWORD), ("new", NEW)]).await.expect_status(303);
    assert_eq!(answer.header("location"), Some("/account"));
    let page = tab.get("/account").await.expect_status(200).text();
    assert!(page.contains("Your password was changed"), "{page}");
    other.get("/account").await.expect_status(303);
    world.attempt("vic@company.example", PASSWORD).await.expect_status(401);
    world.attempt("vic@company.example", NEW).await.expect_status(201);
}

#[tokio::test]
async fn a_password_that_is_refused_changes_nothing_and_is_not_sent_back() {
    let (world, tab) = World::here_as_viewer().await;
    let token = tab.cookie("session");
    for (current, new, said) in [
        ("canary guess of mine", NEW, "Is not your current password."),
        (PASSWORD, "canary", "Must have 12 to 200 characters"),
        (PASSWORD, PASSWORD, "Is the current password; choose another."),
        ("", "", "Must have 12 to 200 characters"),
    ] {
        let fields = [("current", current), ("new", new)];
        let page = tab.post("/account/password", &fields).await.expect_status(422).text();
        assert!(page.contains(said) && page.contains("Your password was not changed."), "{page}");
        assert!(!page.contains("canary"), "{page}");
        let part = tab.post_part("/account/password", &fields).await.expect_status(422).text();
        assert!(part.contains(said) && !part.contains("<h1"), "{part}");
    }
    assert_eq!(tab.cookie("session"), token);
    world.attempt("vic@company.example", PASSWORD).await.expect_status(201);
}

#[tokio::test]
async fn what_was_typed_while_the_session_ended_is_sent_again_after_a_login_elsewhere() {
    let (world, tab) = World::here_as_admin().await;
    tab.get("/users/new").await.expect_status(200);
    world.pass(Duration::from_hours(13));
    let form = [("name", "Vic"), ("email", "vic@company.example"), ("role", "viewer")];
    let part = tab.post_part("/users/new", &form).await.expect_status(401);
    assert_eq!((part.header("hx-retarget"), part.header("hx-reswap")), (Some("#notices"), Some("beforeend")));
    insta::assert_snapshot!("session_over_part", content(&part));
    insta::assert_snapshot!("session_over", content(&tab.post("/users/new", &form).await.expect_status(401)));
    // The other tab of the browser shares its cookies; the form still has the token that it was made with.
    tab.log_in("ada@company.example").await;
    tab.post("/users/new", &form).await.expect_status(200);
}

#[tokio::test]
async fn guessing_the_present_password_comes_to_an_end() {
    let (_world, tab) = World::here_as_viewer().await;
    let mut last = 0;
    for _ in 0..20 {
        let fields = [("current", "a wrong password"), ("new", NEW)];
        last = tab.post("/account/password", &fields).await.status;
    }
    assert_eq!(last, 429);
    let page = tab.post("/account/password", &[("current", PASSWORD), ("new", NEW)]).await.expect_status(429).text();
    assert!(page.contains("role=\"alert\""), "{page}");
}

#[tokio::test]
async fn a_browser_that_logged_in_before_passes_while_others_guess_and_tells_of_it() {
    let (world, tab) = World::here_as_viewer().await;
    let device = tab.cookie("device").unwrap();
    tab.post("/logout", &[]).await.expect_status(303);
    assert_eq!(tab.cookie("device"), Some(device.clone()), "it outlives the session");
    for _ in 0..toktra_siem_identity::guesses::PER_ACCOUNT {
        world.attempt("vic@company.example", "not the right one").await.expect_status(401);
    }
    let fields = [("email", "vic@company.example"), ("password", PASSWORD)];
    world.attempt("vic@company.example", PASSWORD).await.expect_status(429);
    let page = {
        tab.get("/login").await.expect_status(200);
        tab.post("/login", &fields).await.expect_status(303);
        tab.get("/integrations/siem").await.expect_status(200).text()
    };
    let told = "101 failed attempts to log in as you since your last login (2025-01-15 10:30:00 UTC). If you did not make them";
    assert!(page.contains(told), "{page}");
    assert_ne!(tab.cookie("device").unwrap(), device, "each login hands out another");
    let again = tab.get("/integrations/siem").await.expect_status(200).text();
    assert!(!again.contains("failed attempts"), "it is told once");
}

#[tokio::test]
async fn the_cookie_of_a_device_is_kept_long_and_read_by_no_script() {
    let world = World::here().await;
    world.person("vic@company.example", "viewer").await;
    let tab = Tab::new(&world);
    tab.get("/login").await.expect_status(200);
    let answer = tab.post("/login", &[("email", "vic@company.example"), ("password", PASSWORD)]).await;
    let lines: Vec<_> = answer.headers.get_all("set-cookie").into_iter().map(|line| line.to_str().unwrap()).collect();
    let line = lines.iter().find(|line| line.contains("device")).unwrap();
    assert!(line.contains("HttpOnly") && line.contains("SameSite=Lax") && line.contains("Max-Age=34560000"), "{line}");
}
