//! Every URL of the egress policy's own vectors, through the API (server-side request forgery): what the policy refuses cannot be saved, neither
//! in a new connector nor by changing one.

use toktra_siem_egress::{EgressPolicy, Trust};
use toktra_siem_testkit::prelude::*;

#[path = "../../../../egress/src/egress/vectors.rs"]
mod vectors;

use vectors::{URLS, Want};

/// Settings bring a URL into its normal form first, or refuse it themselves; what is saved in the end has to pass the policy.
fn judge(url: &str, want: Want, answer: &Answer, saved: u16) {
    if answer.status == saved {
        let config = &answer.json()["config"];
        let kept = [&config["hec_url"], &config["url"]].into_iter().find_map(Value::as_str).unwrap_or_default();
        assert!(!matches!(want, Want::Plain | Want::Never | Want::Special), "{url:?} was saved as {kept:?}");
        let verdict = EgressPolicy::default().check_url(kept, Trust::default());
        assert!(verdict.is_ok(), "{url:?} was saved as {kept:?}: {verdict:?}");
    } else {
        let code = &answer.json()["error"]["code"];
        assert!(
            code == "invalid" || (code == "destination_forbidden" && want != Want::Pass),
            "{url:?}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn no_refused_url_can_be_saved() {
    let world = World::here().await;
    let connector = world.idle_connector(&world, "changed").await;
    let path = format!("/v1/siem/connectors/{}", connector["id"].as_str().unwrap());
    let mut refused = 0;
    for (n, (url, tenant, _)) in URLS.iter().enumerate() {
        let mut body = splunk_body(&format!("splunk {n}"));
        body["config"]["hec_url"] = (*url).into();
        let created = world.post("/v1/siem/connectors", &body).await;
        judge(url, *tenant, &created, 201);
        judge(url, *tenant, &world.patch(&path, &json!({ "config": body["config"] })).await, 200);
        let elasticsearch = json!({ "name": format!("es {n}"), "platform": "elasticsearch", "config": { "url": url } });
        judge(url, *tenant, &world.post("/v1/siem/connectors", &elasticsearch).await, 201);
        let datadog = json!({
            "name": format!("dd {n}"), "platform": "datadog",
            "config": { "url": url, "api_key": "0123456789abcdef0123456789abcdef" },
        });
        judge(url, *tenant, &world.post("/v1/siem/connectors", &datadog).await, 201);
        refused += usize::from(created.status == 403);
    }
    assert!(refused >= 100, "the policy itself is asked: {refused} of {}", URLS.len());
}
