//! What is refused before a handler sees it, and by all of them alike: in the form of every other error.

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use toktra_siem_testkit::prelude::*;

/// Sends bytes; the status and the JSON of the answer after which the server closes.
async fn exchange(world: &Here, bytes: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

#[tokio::test]
async fn what_no_route_sees_is_told_as_every_other_error() {
    let world = World::here().await;
    for (request, status, code) in [
        ("GET /healthz HTTP/1.1\r\n\r\n", 400, "bad_request"),
        ("GET /healthz HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n", 400, "bad_request"),
        ("GET /healthz HTTP/1.1\nhost: x\n\n", 400, "bad_request"),
        ("POST /v1/events HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n", 501, "bad_request"),
        (
            "POST /v1/sessions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            400,
            "bad_request",
        ),
        (
            "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "bad_request",
        ),
        ("GET /v1/events/%FF HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400, "bad_request"),
        ("GET /integrations/siem/%FF HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400, "bad_request"),
        ("GET /v1/events?limit=%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400, "bad_request"),
        ("GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404, "not_found"),
        ("PUT /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405, "bad_request"),
        ("BREW /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405, "bad_request"),
    ] {
        let (told, answer) = exchange(&world, request).await;
        assert_eq!((told, &answer["error"]["code"]), (status, &json!(code)), "{request:?}: {answer}");
        assert!(
            answer["error"]["message"].is_string() && answer["error"]["fields"].is_array(),
            "{request:?}: {answer}"
        );
    }
}

/// Every route of the document that reads `from` and `to` out of the address.
fn ranges(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let names: Vec<&str> = methods["get"]["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        if names.contains(&"from") && names.contains(&"to") {
            found.push(path.clone());
        }
    }
    found
}

#[tokio::test]
async fn a_range_that_ends_before_it_begins_is_invalid_everywhere() {
    let world = World::here().await;
    let id = world.idle_connector(&world, "Splunk").await.id();
    let document = world.get("/openapi.json").await.json();
    let routes = ranges(&document);
    assert!(routes.len() >= 5, "{routes:?}");
    let empty = [("2025-01-02T00:00:00Z", "2025-01-01T00:00:00Z"), ("2025-01-02T00:00:00Z", "2025-01-02T00:00:00Z")];
    for path in routes {
        for (from, to) in empty {
            for accept in ["application/json", "application/x-ndjson", "text/csv"] {
                let path = format!("{}?from={from}&to={to}", path.replace("{id}", &id));
                let answer = world.send(Method::GET, &path, &[("accept", accept)], "".into()).await;
                let told = answer.expect_status(422).json();
                assert_eq!(told["error"]["fields"][0]["pointer"], "/from", "{path}: {told}");
            }
        }
    }
    for job in ["redeliver-failed", "replay", "discard"] {
        for (from, to) in empty {
            let path = format!("/v1/siem/connectors/{id}/{job}");
            let told = world.post(&path, &json!({ "from": from, "to": to })).await.expect_status(422).json();
            assert_eq!(told["error"]["fields"][0]["pointer"], "/from", "{path}: {told}");
        }
    }
}

#[tokio::test]
async fn a_precondition_that_cannot_be_read_is_not_taken_for_none() {
    let world = World::here().await;
    let id = world.idle_connector(&world, "Splunk").await.id();
    let path = format!("/v1/siem/connectors/{id}");
    for malformed in ["", " ", "1", "\"1", "*, \"1\""] {
        let headers = [("content-type", "application/json"), ("if-match", malformed)];
        for (method, body) in [(Method::PATCH, r#"{"name":"x"}"#), (Method::DELETE, "")] {
            let answer = world.send(method, &path, &headers, body.into()).await.expect_status(400);
            assert_eq!(answer.json()["error"]["code"], "bad_request", "{malformed:?}");
        }
    }
    assert_eq!(world.get(&path).await.json()["name"], "Splunk");
}

#[tokio::test]
async fn an_org_is_named_once() {
    let world = World::here().await;
    let path = format!("/v1/siem/connectors?org_id={DEFAULT_ORG}&org_id={DEFAULT_ORG}");
    world.get(&path).await.expect_status(400);
}

#[tokio::test]
async fn who_has_shown_no_key_sends_little() {
    let world = World::here().await;
    let login = |length: usize| json!({ "email": "a@example.com", "password": "x".repeat(length) });
    world.anonymous().post("/v1/sessions", &login(5000)).await.expect_status(413);
    world.anonymous().post("/v1/sessions", &login(200)).await.expect_status(401);
    let form = format!("email=a&password={}", "x".repeat(17_000));
    let browser = Client::new(&format!("http://{}", world.address));
    let answer = browser.post_bytes("/login", "application/x-www-form-urlencoded", form).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
}

#[tokio::test]
async fn figures_tell_what_clients_take() {
    let world = World::here().await;
    let page = world.anonymous().get("/metrics").await.expect_status(200).text();
    for line in [
        "toktra_siem_connections_limit 4096",
        "toktra_siem_connections_refused_total{reason=\"address\"} 0",
        "toktra_siem_bodies_limit_bytes{sender=\"known\"} 33554432",
        "toktra_siem_bodies_refused_total{sender=\"open\",reason=\"slow\"} 0",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}: {page}");
    }
    let open = page.lines().find_map(|line| line.strip_prefix("toktra_siem_connections ")).unwrap();
    assert_ne!(open, "0", "this one at least");
}
