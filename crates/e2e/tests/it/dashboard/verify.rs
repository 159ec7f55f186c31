//! `/verify`: the answer as a page and as a part of one, and where the secret does not go.

use bytes::Bytes;
use http::Method;
use toktra_siem_core::signing;
use toktra_siem_testkit::prelude::*;

const SECRET: &str = "canary-signing-secret-3141592653";
const BODY: &str = "{\"create\":{}}\n{\"severity\":\"high\"}\n";

fn signature() -> String {
    signing::signature(&SECRET.into(), BODY.as_bytes())
}

/// As a browser sends the text of a `<textarea>`.
fn typed(body: &str) -> String {
    body.replace('\n', "\r\n")
}

#[tokio::test]
async fn a_signature_is_valid_or_it_is_said_what_differs() {
    let (_world, tab) = World::here_as_viewer().await;
    insta::assert_snapshot!("verify", content(&tab.get("/verify").await.expect_status(200)));

    let fields =
        [("body", &*typed(BODY)), ("header", &*format!("X-Toktra-Signature: {}", signature())), ("secret", SECRET)];
    let page = tab.post("/verify", &fields).await.expect_status(200);
    assert!(page.text().contains("</svg>Valid</span>"), "{}", page.text());
    assert!(
        page.text().contains("{&#34;severity&#34;") || page.text().contains("{&quot;severity&quot;"),
        "the body stays where it was typed"
    );

    let part = tab.post_part("/verify", &fields).await.expect_status(200);
    assert!(part.text().contains("</svg>Valid</span>") && !part.text().contains("<form"), "{}", part.text());

    let mut lost = fields;
    let trimmed = typed(BODY.trim_end());
    lost[0].1 = &trimmed;
    insta::assert_snapshot!("verify_explained", content(&tab.post_part("/verify", &lost).await.expect_status(200)));
    let without = tab.post_part("/verify", &fields[..2]).await.expect_status(200);
    insta::assert_snapshot!("verify_without_secret", content(&without));
}

#[tokio::test]
async fn standard_webhooks_are_checked_beside_it() {
    let (_world, tab) = World::here_as_viewer().await;
    let fields = [
        ("body", "{}"),
        ("secret", SECRET),
        ("webhook_id", "1"),
        ("webhook_timestamp", "x"),
        ("webhook_signature", "v1,abc="),
    ];
    let part = tab.post_part("/verify", &fields).await.expect_status(200).text();
    assert!(part.contains("Standard Webhooks") && part.contains("is no number of seconds"), "{part}");
    assert!(!part.contains("X-Toktra-Signature</h2>"), "it was not asked for: {part}");
}

#[tokio::test]
async fn the_secret_goes_nowhere() {
    let (world, tab) = World::here_as_admin().await;
    let before = world.audit(DEFAULT_ORG).await;
    let good = signature();
    for (body, header) in [(BODY, &*good), (BODY, "sha256=00"), ("", "x"), ("<script>alert(1)</script>", &good)] {
        for fields in [
            [("body", body), ("header", header), ("secret", SECRET)],
            [("header", header), ("secret", SECRET), ("body", body)],
        ] {
            for answer in [tab.post("/verify", &fields).await, tab.post_part("/verify", &fields).await] {
                let text = answer.expect_status(200).text();
                assert!(!text.contains("canary") && !text.contains("<script>alert"), "{text}");
            }
        }
    }
    let query = format!("/verify?secret={SECRET}&body=x");
    let answer = tab.send(Method::GET, &query, &[], Bytes::new()).await.expect_status(200);
    assert!(!content(&answer).contains("canary"));
    assert!(!world.is_on_disk("canary"), "nothing is stored");
    assert_eq!(world.audit(DEFAULT_ORG).await, before, "and nothing is told");
}
