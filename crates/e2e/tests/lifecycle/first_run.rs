//! The first run as somebody lives it who only has a browser: the link that `serve` hands out, the form, and what becomes of the link.

use bytes::Bytes;
use http::Method;
use serde_json::json;
use toktra_siem_testkit::client::{Answer, Client};
use toktra_siem_testkit::server::ServerSetup;

use crate::support::setup;

const PASSWORD: &str = "canary horse battery staple";

fn link(setup: &ServerSetup) -> String {
    std::fs::read_to_string(setup.data_dir().join("first-login-link")).unwrap().trim().to_owned()
}

/// The path of a link.
fn path(link: &str) -> String {
    let at = link.find("/setup/").unwrap();
    link[at..].to_owned()
}

/// The cookies that an answer sets, as the next request sends them.
fn cookies(answer: &Answer) -> String {
    let lines = answer.headers.get_all("set-cookie").into_iter();
    let pairs: Vec<&str> = lines.map(|line| line.to_str().unwrap().split(';').next().unwrap()).collect();
    pairs.join("; ")
}

/// Opens the form and sends it.
async fn fill(base: &str, path: &str) -> Answer {
    let client = Client::new(base);
    let form = client.get(path).await;
    let cookie = cookies(&form);
    let (_, csrf) = cookie.split_once('=').unwrap();
    let fields = [("csrf", csrf), ("name", "Ada"), ("email", "ada@company.example"), ("password", PASSWORD)];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let media = ("content-type", "application/x-www-form-urlencoded");
    client.send(Method::POST, path, &[media, ("origin", base), ("cookie", &cookie)], Bytes::from(body)).await
}

#[tokio::test]
async fn the_link_makes_the_first_account_and_then_opens_nothing_more() {
    let setup = setup();
    let server = setup.start().await;
    let first = path(&link(&setup));
    let opened = fill(server.base(), &first).await.expect_status(303);
    assert_eq!(opened.header("location"), Some("/integrations/siem"));
    let session = cookies(&opened);
    let client = Client::new(server.base());
    let page = client.send(Method::GET, "/integrations/siem", &[("cookie", &session)], Bytes::new()).await;
    assert!(page.expect_status(200).text().contains("Ada"));
    fill(server.base(), &first).await.expect_status(404);
    server.stop().await;

    // Nothing of it comes back with the next start, and the account is there.
    let server = setup.start().await;
    assert!(!setup.data_dir().join("first-login-link").exists());
    fill(server.base(), &first).await.expect_status(404);
    let login = json!({ "email": "ada@company.example", "password": PASSWORD });
    Client::new(server.base()).post("/v1/sessions", &login).await.expect_status(201);
    server.stop().await;
}

#[tokio::test]
async fn a_link_of_an_earlier_start_opens_nothing() {
    let setup = setup();
    let server = setup.start().await;
    let first = path(&link(&setup));
    server.kill().await;
    let server = setup.start().await;
    let second = path(&link(&setup));
    assert_ne!(first, second);
    fill(server.base(), &first).await.expect_status(404);
    fill(server.base(), &second).await.expect_status(303);
    server.stop().await;
}
