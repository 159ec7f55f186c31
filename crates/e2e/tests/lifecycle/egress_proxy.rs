//! The only way out leads through a proxy: everything goes through it, what it refuses waits, and what is forbidden stays so.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::routing::post;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use toktra_siem_fake::proxy::{Proxy, Tunnel};
use toktra_siem_testkit::poll::until;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

/// A setup whose servers go out through a proxy there.
fn behind(proxy: SocketAddr) -> ServerSetup {
    setup().env("TOKTRA_SIEM_EGRESS_PROXY", format!("http://{proxy}"))
}

fn host_and_port(base_url: &str) -> String {
    base_url.strip_prefix("http://").unwrap().to_owned()
}

/// The names of the receivers mean nothing to anybody but the proxy, so that whatever arrives has gone through it.
#[tokio::test]
async fn everything_that_is_sent_goes_through_the_proxy() {
    let (siems, proxy) = (Siems::start().await, Proxy::start().await.unwrap());
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    proxy.demand("toktra", "p@ss/word");
    proxy.knows("splunk.test:8088", siems.splunk.address());
    proxy.knows("datadog.test:80", siems.datadog.address());
    proxy.knows("elastic.test:9200", siems.elasticsearch.address());
    proxy.knows("collector.test:4318", collector.local_addr().unwrap());
    let collector = axum::serve(collector, Router::new().route("/v1/traces", post(async || ())));
    let _collector = AbortOnDropHandle::new(tokio::spawn(async move { collector.await.unwrap() }));
    let setup = described(setup(), &siems.all())
        .env("TOKTRA_SIEM_EGRESS_PROXY", format!("http://toktra:p%40ss%2Fword@{}", proxy.address()))
        .env("TOKTRA_SIEM_EGRESS_PROXY_DNS", "proxy")
        .env("SIEM_SPLUNK_HEC_URL", "http://splunk.test:8088")
        .env("SIEM_DATADOG_URL", "http://datadog.test")
        .env("SIEM_ELASTICSEARCH_URL", "http://elastic.test:9200")
        .env("TOKTRA_SIEM_OTLP_ENDPOINT", "http://collector.test:4318")
        .env("TOKTRA_SIEM_TRACES_SAMPLE", "1");
    let world = World::with(setup).await;
    let ids = world.post_some(3).await;
    world.all_arrived().await;
    siems.have(&ids).await;
    for connector in world.connectors().await {
        let report = connector.test(json!({})).await;
        assert_eq!(report["delivered"], true, "{report}");
        let stages = report["streams"][0]["stages"].list();
        let tcp = stages.iter().find(|stage| stage["stage"] == "tcp").unwrap();
        assert!(tcp["detail"].text().contains("through the proxy"), "{report}");
        if connector.created["platform"] == "elasticsearch" {
            world.client.call(&connector.path("/index-template"), &json!({})).await;
        }
    }
    until("a trace comes through the proxy", async || {
        proxy.asked().contains(&"collector.test:4318".to_owned()).then_some(())
    })
    .await;
    assert_eq!(proxy.violations(), [""; 0]);
    siems.assert_unharmed();
    let log = world.log();
    assert!(log.contains(&proxy.address().to_string()) && !log.contains("ss/word") && !log.contains("p%40"), "{log}");
    world.end().await;
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_and_what_waits_arrives_once_it_lets_it_through() {
    let (splunk, proxy) = (splunk().await, Proxy::start().await.unwrap());
    let world = World::with(behind(proxy.address())).await;
    let connector = world.connect(&splunk).await;
    for (tunnel, code, word) in [
        (Tunnel::Refused(403), "proxy_refused", "port 443"),
        (Tunnel::Refused(407), "proxy_credentials", "user name and password"),
        (Tunnel::Refused(502), "proxy_failed", "could not connect"),
        (Tunnel::Says(b"SSH-2.0-OpenSSH_9.2\r\n"), "proxy_not_http", "TOKTRA_SIEM_EGRESS_PROXY"),
    ] {
        proxy.tunnel(tunnel);
        let report = connector.test(json!({})).await;
        let stream = &report["streams"][0];
        assert_eq!((&stream["cause"]["code"], &stream["http_status"]), (&json!(code), &Value::Null), "{report}");
        assert!(stream["hint"].text().contains(word), "{report}");
    }
    proxy.tunnel(Tunnel::Refused(403));
    world.post_some(2).await;
    let health = connector.until_stands("degraded").await;
    assert_eq!(health["streams"][0]["last_error"]["cause"]["code"], "proxy_refused", "{health}");
    let live = connector.history().await.into_iter().find(|delivery| delivery["trigger"] == "live").unwrap();
    let attempts = live["attempts"].list();
    assert_eq!(attempts.len(), 3, "as often as when a connection is refused: {live}");
    for attempt in attempts {
        assert_eq!(
            (&attempt["http_status"], &attempt["cause"]["code"]),
            (&Value::Null, &json!("proxy_refused")),
            "{live}"
        );
    }
    assert_eq!(splunk.requests().len(), 0);
    proxy.tunnel(Tunnel::Opens);
    connector.accounted(&[("delivered", 2)]).await;
    assert!(proxy.asked().iter().all(|asked| *asked == host_and_port(&splunk.base_url())), "{:?}", proxy.asked());
    world.end().await;
}

#[tokio::test]
async fn what_is_forbidden_is_not_asked_of_the_proxy_and_what_goes_past_it_neither() {
    let (splunk, proxy) = (splunk().await, Proxy::start().await.unwrap());
    let mut world = World::with(behind(proxy.address()).without_env("TOKTRA_SIEM_EGRESS_ALLOW")).await;
    for url in ["https://127.0.0.1:8088", "https://localhost", "https://169.254.169.254", "http://198.51.100.1:8088"] {
        let config = json!({ "hec_url": url, "hec_token": CREDENTIAL });
        let body = json!({ "name": "x", "platform": "splunk", "config": config });
        let answer = world.post("/v1/siem/connectors", &body).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (403, &json!("destination_forbidden")), "{url}");
    }
    world.stop().await;
    world.set("TOKTRA_SIEM_EGRESS_ALLOW", "127.0.0.0/8");
    world.set("TOKTRA_SIEM_EGRESS_NO_PROXY", "company.internal, 127.0.0.0/8");
    world.again().await;
    let connector = world.connect(&splunk).await;
    world.post_some(1).await;
    connector.accounted(&[("delivered", 1)]).await;
    assert_eq!(proxy.asked(), [""; 0]);
    world.end().await;
}

/// Tinyproxy, for as long as it is held.
struct Tinyproxy(Child, SocketAddr);

impl Tinyproxy {
    /// It opens tunnels to `port` alone, for whoever has the password.
    async fn start(program: &Path, directory: &Path, port: u16) -> Self {
        let address: SocketAddr = free_address().parse().unwrap();
        let file = directory.join("tinyproxy.conf");
        let text = format!(
            "Port {}\nListen 127.0.0.1\nTimeout 600\nLogLevel Info\nLogFile \"{}\"\nBasicAuth toktra sesame\nConnectPort {port}\n",
            address.port(),
            directory.join("tinyproxy.log").display()
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(program);
        command.arg("-d").arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let proxy = Self(command.spawn().unwrap(), address);
        until("tinyproxy listens", async || TcpStream::connect(address).await.ok()).await;
        proxy
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_real_proxy_lets_through_what_it_permits() {
    let Some(program) = real::TINYPROXY.path() else { return };
    let (splunk, other, directory) = (splunk().await, splunk().await, tempfile::tempdir().unwrap());
    let proxy = Tinyproxy::start(&program, directory.path(), splunk.address().port()).await;
    let with = |password: &str| {
        let proxy = format!("http://toktra:{password}@{}", proxy.1);
        setup().env("TOKTRA_SIEM_EGRESS_PROXY", proxy)
    };
    let mut world = World::with(with("sesame")).await;
    let connector = world.connect(&splunk).await;
    world.post_some(5).await;
    connector.accounted(&[("delivered", 5)]).await;
    let elsewhere = connector.test(json!({ "config": { "hec_url": other.base_url(), "hec_token": CREDENTIAL } })).await;
    assert_eq!(elsewhere["streams"][0]["cause"]["code"], "proxy_refused", "{elsewhere}");
    world.stop().await;
    world.set("TOKTRA_SIEM_EGRESS_PROXY", format!("http://toktra:wrong@{}", proxy.1));
    world.again().await;
    let wrong = connector.test(json!({})).await;
    assert_eq!(wrong["streams"][0]["cause"]["code"], "proxy_credentials", "{wrong}");
    assert_eq!(other.requests().len(), 0);
    world.end().await;
}
