//! What goes wrong with Datadog.

use std::sync::Arc;

use serde_json::json;
use toktra_siem_core::destination::Reply;
use toktra_siem_core::ids::PlatformId;
use toktra_siem_fake::Behaviour;
use toktra_siem_fake::datadog::{self, Datadog, DatadogOptions};

use super::{NOW, Scene, TOKEN};

async fn datadog(title: &'static str, key: &str) -> (Scene, Arc<Datadog>) {
    let options = DatadogOptions { clock: Arc::new(|| NOW.as_secs()), ..DatadogOptions::new(TOKEN) };
    let fake = Arc::new(Datadog::start(options).await.unwrap());
    let config = json!({ "url": fake.base_url(), "api_key": key });
    (Scene::new(title, PlatformId::fixed("datadog"), config, fake.clone()), fake)
}

/// All of them.
pub(super) async fn all() -> Vec<Scene> {
    let mut scenes = vec![datadog("Datadog: it works", TOKEN).await.0];
    scenes.push(datadog("Datadog: logs alone", TOKEN).await.0.with("send_metrics", false));
    scenes.push(datadog("Datadog: wrong key, through a proxy", "0123456789abcdef0123456789abcdef").await.0);
    let (half, fake) = datadog("Datadog: logs accepted, metrics refused", TOKEN).await;
    fake.always(datadog::Endpoint::Series, Behaviour::reply(datadog::error_reply(datadog::Endpoint::Series, 403)));
    scenes.push(half);
    let wrong_site = json!({ "api_key": TOKEN, "site": "datadoghq.eu", "send_metrics": false });
    let mut scene =
        Scene::new("Datadog: wrong key or wrong site", PlatformId::fixed("datadog"), wrong_site.clone(), ());
    let body = r#"{"errors":[{"status":"403","title":"Forbidden","detail":"API key is invalid"}]}"#.into();
    scene.answer = Some(Reply { status: 403, content_type: Some("application/json".into()), body, ..Reply::default() });
    scenes.push(scene);
    scenes.push(Scene::new("Datadog: the site's host is unknown here", PlatformId::fixed("datadog"), wrong_site, ()));
    let (slow, fake) = datadog("Datadog: too many requests", TOKEN).await;
    fake.always(datadog::Endpoint::Logs, Behaviour::reply(datadog::error_reply(datadog::Endpoint::Logs, 429)));
    scenes.push(slow);
    scenes
}
