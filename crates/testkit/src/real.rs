//! The real third-party parts which some tests need: search nodes, the vendor's Python client, Node.js, a browser, and the tools of the documentation's examples.
//!
//! `cargo xtask test` fetches and starts them and hands their addresses to `cargo test` in environment variables. A plain
//! `cargo test` on somebody's own machine has none of them: the test then says what it skips and how to get it. With `CI=true`
//! a missing part is a failure, so that a green run there proves what it claims.

use std::path::PathBuf;

use url::Url;

/// One real part: the variable which tells where it is, and what to say when it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The environment variable that `cargo xtask test` sets.
    pub variable: &'static str,
    /// What it is, for people.
    pub name: &'static str,
}

/// OpenSearch 2.19 without security plugin: `http://127.0.0.1:<port>`.
pub const OPENSEARCH: Part = Part { variable: "TOKTRA_TEST_OPENSEARCH_URL", name: "a real OpenSearch 2 node" };
/// OpenSearch 3.4 without security plugin.
pub const OPENSEARCH_3: Part = Part { variable: "TOKTRA_TEST_OPENSEARCH3_URL", name: "a real OpenSearch 3 node" };
/// Elasticsearch 9.2 with security off. `GET /` is answered as by 8.19.
pub const ELASTICSEARCH_9: Part =
    Part { variable: "TOKTRA_TEST_ELASTICSEARCH9_URL", name: "a real Elasticsearch 9 node" };
/// Elasticsearch 8.19 with security off. Its plain distribution answers `GET /` with 405: it has no module for that route.
pub const ELASTICSEARCH: Part = Part { variable: "TOKTRA_TEST_ELASTICSEARCH_URL", name: "a real Elasticsearch 8 node" };
/// Elasticsearch 7.17, the oldest version supported, with security off.
pub const ELASTICSEARCH_7: Part =
    Part { variable: "TOKTRA_TEST_ELASTICSEARCH7_URL", name: "a real Elasticsearch 7 node" };
/// VictoriaLogs 1.52, which takes bulk requests below `/insert/elasticsearch` and has no index templates.
pub const VICTORIA_LOGS: Part = Part { variable: "TOKTRA_TEST_VICTORIALOGS_URL", name: "a real VictoriaLogs" };
/// The OpenTelemetry Collector's receiver of the HTTP Event Collector's protocol, with a sink that is read back (`xtask/otel-hec`).
pub const OTEL_HEC: Part =
    Part { variable: "TOKTRA_TEST_OTEL_HEC", name: "the OpenTelemetry Collector's HEC receiver" };
/// A Python interpreter which can import what `cargo xtask` installs for it (`xtask/src/real/python.rs`), with Schemathesis beside it.
pub const PYTHON: Part = Part { variable: "TOKTRA_TEST_PYTHON", name: "Python with its test packages" };
/// Prometheus's own tool for checking metrics, rules and their tests.
pub const PROMTOOL: Part = Part { variable: "TOKTRA_TEST_PROMTOOL", name: "promtool" };
/// A Node.js binary; the verification example needs its core modules only.
pub const NODE: Part = Part { variable: "TOKTRA_TEST_NODE", name: "Node.js" };

/// A Chromium, as Debian builds it, for the tests of the page.
pub const CHROMIUM: Part = Part { variable: "TOKTRA_TEST_CHROMIUM", name: "Chromium" };
/// The WebDriver server of the same build as [`CHROMIUM`].
pub const CHROMEDRIVER: Part = Part { variable: "TOKTRA_TEST_CHROMEDRIVER", name: "ChromeDriver" };
/// The file `axe.min.js` of axe-core, which judges the accessibility of what a browser shows.
pub const AXE: Part = Part { variable: "TOKTRA_TEST_AXE", name: "axe-core" };

/// `curl`, which the documentation's examples use.
pub const CURL: Part = Part { variable: "TOKTRA_TEST_CURL", name: "curl" };
/// `jq`, which the documentation's examples use.
pub const JQ: Part = Part { variable: "TOKTRA_TEST_JQ", name: "jq" };
/// OpenSSL's command line, which the documentation's examples use.
pub const OPENSSL: Part = Part { variable: "TOKTRA_TEST_OPENSSL", name: "openssl" };

/// Tinyproxy, an HTTP proxy that opens tunnels for whom and to which ports its configuration says.
pub const TINYPROXY: Part = Part { variable: "TOKTRA_TEST_TINYPROXY", name: "tinyproxy" };

/// nginx, as the documentation puts it in front of the server.
pub const NGINX: Part = Part { variable: "TOKTRA_TEST_NGINX", name: "nginx" };

/// The program behind `cargo xtask`, which makes packages.
pub const XTASK: Part = Part { variable: "TOKTRA_TEST_XTASK", name: "the program that makes packages" };
/// A tar file with a bare Debian, to be entered by `chroot`, which takes root.
pub const DEBIAN: Part = Part { variable: "TOKTRA_TEST_DEBIAN", name: "a bare Debian, and root to enter it" };
/// buildah, which makes images of containers without a service.
pub const BUILDAH: Part = Part { variable: "TOKTRA_TEST_BUILDAH", name: "buildah" };

/// The variable which says where pictures of pages go. No part: without it there are none, and every test runs.
pub const SCREENSHOTS: &str = "TOKTRA_TEST_SCREENSHOTS";

impl Part {
    /// The program or file, or `None` after saying what is skipped.
    pub fn path(self) -> Option<PathBuf> {
        self.value().map(PathBuf::from)
    }

    /// The base URL of the node, or `None` after saying what is skipped.
    pub fn url(self) -> Option<Url> {
        let text = self.value()?;
        Some(Url::parse(&text).unwrap_or_else(|error| panic!("{} is no URL: {error}", self.variable)))
    }

    fn value(self) -> Option<String> {
        found_or_skipped(self, environment(self.variable), on_ci())
    }
}

/// Every real search node that is at hand, with its name: a test of the bulk contract runs against each.
pub fn search_nodes() -> Vec<(&'static str, Url)> {
    let parts = [OPENSEARCH, OPENSEARCH_3, ELASTICSEARCH, ELASTICSEARCH_9, ELASTICSEARCH_7];
    parts.into_iter().filter_map(|part| Some((part.name, part.url()?))).collect()
}

/// The directory into which tests of pages put pictures, where somebody asked for them (`cargo xtask screenshots`).
pub fn screenshots() -> Option<PathBuf> {
    environment(SCREENSHOTS).filter(|directory| !directory.is_empty()).map(PathBuf::from)
}

/// Whether this run must not skip anything (`CI=true`).
pub fn on_ci() -> bool {
    environment("CI").as_deref() == Some("true")
}

fn found_or_skipped(part: Part, value: Option<String>, on_ci: bool) -> Option<String> {
    let value = value.filter(|text| !text.is_empty());
    if value.is_none() {
        let how = "run `cargo xtask test`, which fetches and starts it";
        assert!(!on_ci, "{} is missing ({} is not set), and CI=true forbids skipping: {how}", part.name, part.variable);
        eprintln!("skipped: this test needs {} ({} is not set); {how}", part.name, part.variable);
    }
    value
}

#[expect(clippy::disallowed_methods, reason = "the one place where tests read what `cargo xtask test` tells them")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_at_hand_is_handed_out() {
        assert_eq!(found_or_skipped(NODE, Some("/usr/bin/node".into()), true).as_deref(), Some("/usr/bin/node"));
    }

    #[test]
    fn a_missing_part_is_skipped_on_a_persons_machine() {
        assert_eq!(found_or_skipped(NODE, None, false), None);
        assert_eq!(found_or_skipped(NODE, Some(String::new()), false), None);
    }

    #[test]
    #[should_panic(expected = "CI=true forbids skipping")]
    fn a_missing_part_fails_on_ci() {
        found_or_skipped(NODE, None, true);
    }
}
