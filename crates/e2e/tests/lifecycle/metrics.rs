//! The figures of `/metrics` over the life of a server: an outage, a restart, and the end of it.

use toktra_siem_testkit::prelude::*;

/// The value of a figure, once it is this one: a page is kept for a second.
async fn becomes(client: &Client, figure: &str, value: f64) {
    poll::until(&format!("{figure} is {value}"), async || {
        let page = client.anonymous().get("/metrics").await.expect_status(200).text();
        let rest = page.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(' '))?;
        let shown: f64 = rest.parse().ok()?;
        ((shown - value).abs() < 1e-9).then_some(())
    })
    .await;
}

#[tokio::test]
async fn outcomes_survive_a_restart_and_an_outage_shows_while_it_lasts() {
    let (mut world, splunk) = (World::start().await, splunk().await);
    let connector = world.connect(&splunk).await;
    let labels = format!("{{connector=\"{}\",platform=\"splunk\",stream=\"events\"}}", connector.id);
    let figure = |name: &str| format!("toktra_siem_stream_{name}{labels}");
    let lane = |name: &str| format!("toktra_siem_{name}{{platform=\"splunk\",stream=\"events\"}}");
    world.post_some(3).await;
    world.all_arrived().await;
    becomes(&world, &figure("delivered_events_total"), 3.0).await;
    becomes(&world, &lane("event_latency_seconds_count"), 3.0).await;
    becomes(&world, "toktra_siem_events_accepted_total", 3.0).await;

    splunk.down().await;
    world.restart().await;
    becomes(&world, &figure("delivered_events_total"), 3.0).await;
    becomes(&world, "toktra_siem_events_accepted_total", 0.0).await;
    world.post_some(2).await;
    becomes(&world, &figure("breaker_open"), 1.0).await;
    becomes(&world, &figure("misconfigured"), 0.0).await;
    becomes(&world, &figure("failed_events"), 2.0).await;
    world.post_some(4).await;
    becomes(&world, &figure("pending_events"), 6.0).await;
    let failed = "toktra_siem_attempts_total{platform=\"splunk\",stream=\"events\",status=\"5xx\"}";
    becomes(&world, failed, 0.0).await;

    splunk.up().unwrap();
    world.all_arrived().await;
    becomes(&world, &figure("delivered_events_total"), 9.0).await;
    for none in ["breaker_open", "failed_events", "pending_events", "lag_seconds", "requests_in_flight"] {
        becomes(&world, &figure(none), 0.0).await;
    }
    becomes(&world, &lane("event_latency_seconds_count"), 6.0).await;
    becomes(&world, "toktra_siem_invariant_violations_total{invariant=\"D1\"}", 0.0).await;
    world.end().await;
}
