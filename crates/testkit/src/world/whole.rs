//! The whole product in this process, with what delivers: for tests that put something of their own into it.

use std::ops::Deref;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use toktra_siem::service::Service;
use toktra_siem_config::{Config, Environment, Values};
use toktra_siem_platform::Registry;
use toktra_siem_store::StoreError;

use super::{ADMIN, Org, PASSWORD, World};
use crate::client::Client;
use crate::server::API_KEY;

/// The whole product in this process. It is the default org, seen with the bootstrap key; the environment names the admin.
pub struct Whole {
    /// Where it listens, `http://127.0.0.1:PORT`.
    pub base: String,
    /// Where its data is, and a place for a test's files.
    pub directory: TempDir,
    org: Org,
    stop: CancellationToken,
    running: JoinHandle<Result<(), StoreError>>,
}

impl Deref for Whole {
    type Target = Org;

    fn deref(&self) -> &Org {
        &self.org
    }
}

impl World<Whole> {
    /// A server that knows these platforms, with these variables in its environment.
    pub async fn whole(registry: Registry, more: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data").display().to_string();
        let variables = [
            ("TOKTRA_SIEM_LISTEN", "127.0.0.1:0"),
            ("TOKTRA_SIEM_DATA_DIR", &data),
            ("TOKTRA_SIEM_API_KEY", API_KEY),
            ("TOKTRA_SIEM_ADMIN_EMAIL", ADMIN),
            ("TOKTRA_SIEM_ADMIN_PASSWORD", PASSWORD),
            ("TOKTRA_SIEM_EGRESS_ALLOW", "127.0.0.0/8"),
        ];
        let environment = Environment::of([&variables, more].concat());
        let config = Config::from_values(Values::of(registry).read_environment(&environment)).unwrap();
        let service = Service::start(config).await.unwrap();
        let base = format!("http://{}", service.address());
        let stop = CancellationToken::new();
        let asked = stop.clone().cancelled_owned();
        let running = tokio::spawn(async move { service.run_until(asked).await.map(drop) });
        let org = Org::default_of(Client::new(&base).with_key(API_KEY)).await;
        Self { server: Whole { base, directory, org, stop, running }, browser: None }
    }

    /// The end of a test: it ends in order.
    pub async fn ends(self) {
        self.server.stop.cancel();
        self.server.running.await.unwrap().unwrap();
    }
}
