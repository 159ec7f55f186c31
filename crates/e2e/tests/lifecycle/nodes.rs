//! Real search nodes, each with a connector that delivers to it.

use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use toktra_siem_base::clock::{Clock as _, SystemClock};
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real::search_nodes;
use url::Url;

/// A node with the connector that delivers to it.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) address: String,
    pub(crate) connector: Connector,
}

impl Node {
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.client.read(path).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) {
        self.client.put(path, body).await.expect_status(200);
    }

    /// How many documents fit this query.
    pub(crate) async fn count(&self, index: &str, query: &Value) -> u64 {
        self.get(&format!("/{index}/_refresh")).await;
        let found = self.client.post(&format!("/{index}/_count"), &json!({ "query": query })).await;
        found.expect_status(200).json()["count"].number()
    }

    /// What a search for nothing but this aggregation finds.
    pub(crate) async fn aggregate(&self, index: &str, aggregation: &Value) -> Value {
        self.get(&format!("/{index}/_refresh")).await;
        let asked = json!({ "size": 0, "aggs": { "it": aggregation } });
        let found = self.client.post(&format!("/{index}/_search"), &asked).await.expect_status(200).json();
        assert_eq!(found["_shards"]["failed"], 0, "{}: {found}", self.name);
        found["aggregations"]["it"].clone()
    }

    /// The template that stands there.
    pub(crate) async fn template(&self, prefix: &str) -> Value {
        self.get(&format!("/_index_template/{prefix}")).await["index_templates"][0]["index_template"].clone()
    }

    /// The names of the indices that begin so.
    pub(crate) async fn indices(&self, prefix: &str) -> Vec<String> {
        let found = self.get(&format!("/{prefix}-*/_settings")).await;
        found.as_object().unwrap().keys().cloned().collect()
    }

    /// The type of objects with free keys.
    pub(crate) fn free_object(&self) -> &'static str {
        if self.name.contains("OpenSearch") { "flat_object" } else { "flattened" }
    }
}

/// Every node at hand, without a connector yet.
pub(crate) fn nodes() -> Vec<(&'static str, Url, Client)> {
    search_nodes().into_iter().map(|(name, url)| (name, url.clone(), Client::new(url.as_str()))).collect()
}

fn host_and_port(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
}

/// A server with a connector for every node, each with `config` laid over its own, and the prefix of the indexes.
pub(crate) async fn started(config: Value) -> (World, String, Vec<Node>) {
    let world = World::start().await;
    let prefix = world.unique();
    let connected = connected(&world, &prefix, config).await;
    (world, prefix, connected)
}

/// A connector of `world` for every node.
pub(crate) async fn connected(world: &World, prefix: &str, config: Value) -> Vec<Node> {
    let mut connected = Vec::new();
    for (name, url, client) in nodes() {
        let settings = json!({ "url": url.as_str(), "index_prefix": prefix });
        let more = json!({ "name": name, "config": config });
        let connector = world.connector("elasticsearch", settings, more).await;
        connected.push(Node { name, client, address: host_and_port(&url), connector });
    }
    connected
}

/// The day so many days ago in UTC, as in a timestamp and as in the name of an index.
pub(crate) fn day(ago: i64) -> (String, String) {
    let now = jiff::Timestamp::from_millisecond(SystemClock.now().0).unwrap();
    let date = now.to_zoned(TimeZone::UTC).date().saturating_sub(ago.days());
    (date.to_string(), date.strftime("%Y.%m.%d").to_string())
}
