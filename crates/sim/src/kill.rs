//! Kills the server again and again while events flow, and then asks the oracle.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use toktra_siem_testkit::client::Client;
use toktra_siem_testkit::poll::{self, PATIENCE};
use toktra_siem_testkit::server::ServerSetup;

use crate::oracle::Oracle;
use crate::producer::produce;
use crate::seed::Seed;

/// Between two looks at how much was promised: a kill comes at any moment, and in the middle of requests.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub struct KillPlan {
    /// Repeats the run.
    pub seed: u64,
    /// How often the server is killed.
    pub kills: u32,
    /// Producers that post at the same time.
    pub producers: u32,
    /// The server lives until it has promised so many events, from and to.
    pub life: (u64, u64),
}

/// Runs the plan: the server is started, killed with SIGKILL at a random moment while producers post, and started again. Returns with a
/// server that runs, and an oracle that knows every promise.
///
/// # Panics
///
/// If the server promises nothing.
pub async fn run(
    setup: &ServerSetup,
    org: &str,
    plan: KillPlan,
) -> (toktra_siem_testkit::server::ServerProcess, Arc<Oracle>) {
    println!("kill run: seed {}, {} kills", plan.seed, plan.kills);
    let mut seed = Seed::new(plan.seed);
    let oracle = Arc::new(Oracle::default());
    let (here, whereabouts) = watch::channel(None::<Client>);
    let mut producers = JoinSet::new();
    for _ in 0..plan.producers {
        producers.spawn(produce(seed.fork(), org.to_owned(), whereabouts.clone(), oracle.clone()));
    }
    for round in 0..plan.kills {
        let before = oracle.promises();
        let server = setup.start().await;
        here.send_replace(Some(server.client().clone()));
        let life = seed.between(plan.life.0, plan.life.1);
        let promised = || (oracle.promises() - before) as u64;
        let lived = poll::every(LOOK_AGAIN, PATIENCE, async || (promised() >= life).then_some(())).await;
        assert!(lived.is_some(), "no event was promised for {PATIENCE:?}\n{}", server.log());
        here.send_replace(None);
        server.kill().await;
        println!("  kill {}: {} promises", round + 1, promised());
    }
    drop(here);
    while let Some(ended) = producers.join_next().await {
        if let Err(failure) = ended {
            std::panic::resume_unwind(failure.into_panic());
        }
    }
    (setup.start().await, oracle)
}
