//! The first run: three steps that tick off by themselves and end in a delivered event, and commands that work as they are shown; and what
//! comes next, a sample of each type of event.

use tokio::process::Command;
use toktra_siem_core::event::EventType;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;
use toktra_siem_testkit::world::{PASSWORD, Said, said, with_admin};

const LIST: &str = "/integrations/siem";

/// The steps of the page, and how many of them are done.
async fn steps(tab: &Tab) -> (String, usize) {
    let page = tab.get(LIST).await.expect_status(200).text();
    let steps = page.split_once("id=\"steps-title\">").map_or("", |(_, rest)| rest.split_once("</section>").unwrap().0);
    (steps.to_owned(), steps.matches("<li class=\"done\">").count())
}

/// The commands as the page shows them, unescaped as a browser does.
async fn commands(tab: &Tab) -> Vec<String> {
    let page = tab.get(LIST).await.expect_status(200).text();
    let (_, section) = page.split_once("id=\"first-event\"").expect("the commands are there");
    let text = |part: &str| part.split_once("</code></pre>").unwrap().0.to_owned();
    let shown = section.split("<pre tabindex=\"0\"><code>").skip(1).map(text);
    shown
        .map(|text| {
            text.replace("&#34;", "\"")
                .replace("&#39;", "'")
                .replace("&#60;", "<")
                .replace("&#62;", ">")
                .replace("&#38;", "&")
        })
        .collect()
}

/// Runs a command as somebody does who copied it.
async fn run(command: &str, key: &str) -> Option<Said> {
    let parts = [real::CURL.path()?, real::PYTHON.path()?, real::NODE.path()?];
    let own: Vec<_> = parts.iter().filter_map(|part| part.parent()).map(|part| part.display().to_string()).collect();
    let mut shell = Command::new("sh");
    shell.arg("-ec").arg(format!("PATH='{}:'\"$PATH\"\n{command}", own.join(":"))).env("TOKTRA_API_KEY", key);
    Some(said(shell, b"").await.done())
}

#[tokio::test]
async fn every_command_works_as_it_is_shown_and_the_steps_tick_off_by_themselves() {
    let world = World::with(with_admin(setup())).await;
    let splunk = splunk().await;
    let tab = Tab::at(world.base());
    tab.log_in_as("ada@company.example", PASSWORD).await;
    assert_eq!(steps(&tab).await.1, 0);
    let commands = commands(&tab).await;
    assert_eq!(commands.len(), 3);

    let connector = world.connect(&splunk).await;
    let (waiting, done) = steps(&tab).await;
    assert!(done == 1 && waiting.contains("Waiting for the first event …"), "{waiting}");
    let key = json!({ "name": "First producer", "scopes": ["events:write"] });
    let key = world.make("/v1/api-keys", &key).await["key"].text();
    for (n, command) in commands.iter().enumerate() {
        assert!(command.contains(world.base()) && command.contains("TOKTRA_API_KEY"), "{command}");
        let Some(said) = run(command, &key).await else { return world.end().await };
        assert!(said.stdout.contains("\"accepted\":1"), "{command}\n{said:?}");
        connector.accounted(&[("delivered", n as u64 + 1)]).await;
    }
    let page = steps(&tab).await;
    assert!(page.1 == 3 && page.0.starts_with("Your first event was delivered"), "{}", page.0);
    let event = splunk.event_ids().into_keys().find(|id| page.0.contains(&format!("href=\"/events/{id}\"")));
    assert!(event.is_some(), "{}", page.0);
    assert!(!tab.get(LIST).await.text().contains("id=\"first-event\""), "there is nothing left to do");
    // Later nobody has to be told.
    world.post_some(20).await;
    connector.accounted(&[("delivered", 23)]).await;
    assert_eq!(steps(&tab).await, (String::new(), 0));
    world.end().await;
}

#[tokio::test]
async fn each_step_says_what_is_left_to_do_and_a_viewer_who_can_do_it() {
    let (world, tab) = World::here_as_admin().await;
    let viewer = Tab::of_viewer(&world).await;
    let address = world.address.to_string();
    let page = content(&tab.get(LIST).await.expect_status(200)).replace(&address, "ADDRESS");
    insta::assert_snapshot!("first_run", page.split_once("<ul class=\"cards").unwrap().0);
    insta::assert_snapshot!("first_event", page.split_once("<section id=\"first-event\"").unwrap().1);
    let form = content(&tab.get("/api-keys/new?name=First+producer").await.expect_status(200));
    assert!(form.contains("value=\"First producer\"") && form.contains("value=\"events:write\" checked"), "{form}");
    let (seen, _) = steps(&viewer).await;
    assert!(seen.matches("An admin of your organization can").count() == 2 && !seen.contains("/api-keys"), "{seen}");

    world.begin("/v1/events", &json!({ "event_type": "lockout", "severity": "high" })).await;
    let (seen, done) = steps(&tab).await;
    assert!(done == 1 && seen.contains("is stored. Connect a SIEM, then post another one."), "{seen}");
    let connector = world.idle_connector(&world, "Prod").await;
    let (seen, done) = steps(&tab).await;
    assert!(done == 1 && seen.contains("Your connector is paused. Toggle Active"), "{seen}");
    assert!(seen.contains("before you added the connector"), "{seen}");
    let path = format!("/v1/siem/connectors/{}", connector["id"].as_str().unwrap());
    let only = json!({ "severity": ["low"] });
    world.change(&path, &json!({ "active": true, "resume": "now", "filter": only })).await;
    world.begin("/v1/events", &json!({ "event_type": "lockout", "severity": "low" })).await;
    let (seen, done) = steps(&viewer).await;
    assert!(done == 2 && seen.contains("is on its way"), "{seen}");
    // Whoever looks for a connector, looks for that.
    assert!(!tab.get(&format!("{LIST}?q=prod")).await.text().contains("steps-title"));
}

#[tokio::test]
async fn a_sample_of_each_type_is_sent_by_a_button_and_each_is_listed() {
    let (world, tab) = World::here_as_admin().await;
    let connector = world.idle_connector(&world, "Prod").await;
    let place = format!("{LIST}/{}", connector["id"].as_str().unwrap());
    let page = tab.get(&place).await.expect_status(200).text();
    assert!(page.contains("<button name=\"samples\" value=\"ask\""), "{page}");
    let question = content(&tab.post(&format!("{place}/test"), &[("samples", "ask")]).await.expect_status(200));
    assert!(question.contains("Send 4 samples?") && question.contains("Lockout, "), "{question}");
    assert!(world.dispatch.tests.lock().is_empty(), "nothing is sent before that");
    let page = content(&tab.post(&format!("{place}/test"), &[("samples", "on")]).await.expect_status(200));
    assert!(page.contains("Splunk accepted 4 of 4 samples."), "{page}");
    for name in ["Policy violation", "Anomaly", "Budget alert", "Lockout"] {
        assert!(page.contains(&format!(">{name}</a>")), "{name}: {page}");
    }
    let asked = world.dispatch.tests.lock().iter().map(|test| test.sample.map(EventType::as_str)).collect::<Vec<_>>();
    assert_eq!(asked, ["policy_violation", "anomaly", "budget_alert", "lockout"].map(Some));
    let viewer = Tab::of_viewer(&world).await;
    assert!(!viewer.get(&place).await.expect_status(200).text().contains("name=\"samples\""));
}
