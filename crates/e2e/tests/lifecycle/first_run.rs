//! The first run as somebody lives it who only has a browser: the link that `serve` hands out, the form, and what becomes of the link.

use toktra_siem_testkit::prelude::*;

/// The path of the link that the server hands out.
fn path(world: &World) -> String {
    let link = world.first_link().unwrap();
    link[link.find("/setup/").unwrap()..].to_owned()
}

/// Opens the form, and sends it.
async fn fill(tab: &Tab, path: &str) -> Answer {
    tab.get(path).await;
    tab.post(path, &[("name", "Ada"), ("email", "ada@company.example"), ("password", PASSWORD)]).await
}

#[tokio::test]
async fn the_link_makes_the_first_account_and_then_opens_nothing_more() {
    let mut world = World::start().await;
    let (first, tab) = (path(&world), Tab::at(world.base()));
    let opened = fill(&tab, &first).await.expect_status(303);
    assert_eq!(opened.header("location"), Some("/integrations/siem"));
    assert!(tab.get("/integrations/siem").await.expect_status(200).text().contains("Ada"));
    fill(&Tab::at(world.base()), &first).await.expect_status(404);

    // Nothing of it comes back with the next start, and the account is there.
    world.restart().await;
    assert_eq!(world.first_link(), None);
    fill(&Tab::at(world.base()), &first).await.expect_status(404);
    let login = json!({ "email": "ada@company.example", "password": PASSWORD });
    world.anonymous().make("/v1/sessions", &login).await;
    world.end().await;
}

#[tokio::test]
async fn a_link_of_an_earlier_start_opens_nothing() {
    let mut world = World::start().await;
    let first = path(&world);
    world.kill().await;
    world.again().await;
    let second = path(&world);
    assert_ne!(first, second);
    fill(&Tab::at(world.base()), &first).await.expect_status(404);
    fill(&Tab::at(world.base()), &second).await.expect_status(303);
    world.end().await;
}
