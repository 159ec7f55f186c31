//! The figures of `/metrics` over the life of a server: an outage, a restart, and the end of it.

use serde_json::json;
use toktra_siem_fake::splunk::{Splunk, SplunkOptions};
use toktra_siem_testkit::client::Client;

use crate::support::{TOKEN, all_arrived, connect, post_some, setup, until};

/// The value of a figure, once it is this one: a page is kept for a second.
async fn becomes(client: &Client, figure: &str, value: f64) {
    until(&format!("{figure} is {value}"), async || {
        let page = client.anonymous().get("/metrics").await.expect_status(200).text();
        let rest = page.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(' '))?;
        let shown: f64 = rest.parse().ok()?;
        ((shown - value).abs() < 1e-9).then_some(())
    })
    .await;
}

#[tokio::test]
async fn outcomes_survive_a_restart_and_an_outage_shows_while_it_lasts() {
    let splunk = Splunk::start(SplunkOptions::new(TOKEN)).await.unwrap();
    let setup = setup();
    let server = setup.start().await;
    let config = json!({ "hec_url": splunk.base_url(), "hec_token": TOKEN });
    let connector = connect(server.client(), "splunk", "Splunk", &config).await;
    let labels = format!("{{connector=\"{connector}\",platform=\"splunk\",stream=\"events\"}}");
    let figure = |name: &str| format!("toktra_siem_stream_{name}{labels}");
    let lane = |name: &str| format!("toktra_siem_{name}{{platform=\"splunk\",stream=\"events\"}}");
    post_some(server.client(), 3).await;
    all_arrived(server.client()).await;
    becomes(server.client(), &figure("delivered_events_total"), 3.0).await;
    becomes(server.client(), &lane("event_latency_seconds_count"), 3.0).await;
    becomes(server.client(), "toktra_siem_events_accepted_total", 3.0).await;
    server.stop().await;

    splunk.down().await;
    let server = setup.start().await;
    let client = server.client();
    becomes(client, &figure("delivered_events_total"), 3.0).await;
    becomes(client, "toktra_siem_events_accepted_total", 0.0).await;
    post_some(client, 2).await;
    becomes(client, &figure("breaker_open"), 1.0).await;
    becomes(client, &figure("misconfigured"), 0.0).await;
    becomes(client, &figure("failed_events"), 2.0).await;
    post_some(client, 4).await;
    becomes(client, &figure("pending_events"), 4.0).await;
    let failed = "toktra_siem_attempts_total{platform=\"splunk\",stream=\"events\",status=\"5xx\"}";
    becomes(client, failed, 0.0).await;

    splunk.up().unwrap();
    all_arrived(client).await;
    becomes(client, &figure("delivered_events_total"), 9.0).await;
    for none in ["breaker_open", "failed_events", "pending_events", "lag_seconds", "requests_in_flight"] {
        becomes(client, &figure(none), 0.0).await;
    }
    becomes(client, &lane("event_latency_seconds_count"), 6.0).await;
    becomes(client, "toktra_siem_invariant_violations_total{invariant=\"D1\"}", 0.0).await;
    server.stop().await;
}
