//! Starts and stops every task of the process. A shutdown has three steps: intake ends first, so that no 202 is given that nobody would
//! deliver; then dispatcher and housekeeping are told at the same moment, since neither needs the other. The dispatcher goes on while there
//! is something to do at once; housekeeping ends meanwhile, however long that takes. Last is what reports all of that. Each step has its own
//! share of the time, so that a client which sends a body slowly takes none of the dispatcher's; what a step does not need is left to the
//! next. What still runs at the end of its share is cut off: whatever it was doing is pending in the store and continues at the next start.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// What a task is there for, which says when it is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Takes requests; told first.
    Intake,
    /// Delivers events; told once intake has ended.
    Dispatch,
    /// Keeps house (retention, rotations); told together with [`Stage::Dispatch`].
    Upkeep,
    /// Reports to others what was done (traces), and that this node is there; told last, so that nothing is missing.
    Report,
}

impl Stage {
    /// How much of the time for a shutdown has passed, in tenths, when the stage has to have ended.
    fn tenths(self) -> u32 {
        match self {
            Self::Intake => 2,
            Self::Dispatch | Self::Upkeep => 9,
            Self::Report => 10,
        }
    }

    /// How long the first stage may take, if a shutdown may take `grace`; the others have what it leaves.
    pub fn share(self, grace: Duration) -> Duration {
        grace * self.tenths() / 10
    }
}

/// How many stages there are.
const STAGES: usize = 4;

/// The steps of a shutdown: who is told to end at the same moment, and has to have ended before the next are told.
const STEPS: [&[Stage]; 3] = [&[Stage::Intake], &[Stage::Dispatch, Stage::Upkeep], &[Stage::Report]];

/// What a task came to.
type Outcome = (Stage, &'static str, anyhow::Result<()>);

/// The owner of every task.
pub struct Supervisor {
    tasks: JoinSet<Outcome>,
    running: Vec<(Stage, &'static str)>,
    tokens: [CancellationToken; STAGES],
}

/// How the process came to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every task ended when it was told to.
    Clean,
    /// These did not end before the deadline and were cut off.
    CutOff(Vec<&'static str>),
    /// This task ended although nobody had told it to.
    Failed {
        /// Its name.
        task: &'static str,
        /// Why.
        error: String,
    },
}

impl Ended {
    /// One line for what the grace was too short for.
    pub fn log_what_was_cut_off(&self) {
        if let Self::CutOff(tasks) = self {
            let tasks = tasks.join(", ");
            tracing::warn!(
                tasks,
                "the grace period ended before these tasks did; what they left continues at the next start"
            );
        }
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), running: Vec::new(), tokens: std::array::from_fn(|_| CancellationToken::new()) }
    }
}

impl Supervisor {
    /// Cancelled when the tasks of `stage` are to end.
    pub fn token(&self, stage: Stage) -> CancellationToken {
        self.tokens[stage as usize].clone()
    }

    /// Starts a task. It has to end soon after the token of its stage is cancelled, and not before.
    pub fn spawn(
        &mut self,
        stage: Stage,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.running.push((stage, name));
        self.tasks.spawn(async move {
            // A panic is caught by a task of its own, so that the name is not lost with it.
            let outcome = match AbortOnDropHandle::new(tokio::spawn(task)).await {
                Ok(outcome) => outcome,
                Err(panic) => Err(anyhow::anyhow!("ended abnormally: {panic}")),
            };
            (stage, name, outcome)
        });
    }

    /// Runs until `asked` completes or a task ends by itself, then shuts down within `grace`.
    pub async fn run(mut self, asked: impl Future<Output = ()>, grace: Duration) -> Ended {
        let failed = tokio::select! {
            () = asked => None,
            Some(ended) = self.tasks.join_next() => Some(self.ended_early(ended)),
        };
        let cut_off = self.shut_down(grace).await;
        match failed {
            Some(failed) => failed,
            None if cut_off.is_empty() => Ended::Clean,
            None => Ended::CutOff(cut_off),
        }
    }

    fn ended_early(&mut self, ended: Result<Outcome, tokio::task::JoinError>) -> Ended {
        match ended {
            Ok((stage, name, outcome)) => {
                self.running.retain(|task| *task != (stage, name));
                let error =
                    outcome.map_or_else(|e| format!("{e:#}"), |()| "it ended without being asked to".to_owned());
                tracing::error!(task = name, error, "a task failed: the process ends");
                Ended::Failed { task: name, error }
            }
            Err(failure) => Ended::Failed { task: "unknown", error: failure.to_string() },
        }
    }

    /// Takes one step after the other; the names of the tasks that were cut off.
    async fn shut_down(&mut self, grace: Duration) -> Vec<&'static str> {
        let began = Instant::now();
        for step in STEPS {
            for stage in step {
                self.tokens[*stage as usize].cancel();
            }
            let deadline = began + step.iter().map(|stage| stage.share(grace)).max().unwrap_or(grace);
            while self.running.iter().any(|(stage, _)| step.contains(stage)) {
                let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.tasks.join_next()).await else { break };
                let Ok((stage, name, outcome)) = ended else { continue };
                self.running.retain(|task| *task != (stage, name));
                if let Err(error) = outcome {
                    tracing::error!(task = name, error = format!("{error:#}"), "a task failed while the process ended");
                }
            }
        }
        self.tasks.abort_all();
        self.running.drain(..).map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    fn noting(
        log: &Arc<Mutex<Vec<&'static str>>>,
        token: CancellationToken,
        name: &'static str,
    ) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let log = log.clone();
        async move {
            token.cancelled().await;
            tokio::task::yield_now().await;
            log.lock().push(name);
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn intake_ends_before_the_others_are_told() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut supervisor = Supervisor::default();
        let others = [supervisor.token(Stage::Dispatch), supervisor.token(Stage::Upkeep)];
        for (stage, name) in [(Stage::Upkeep, "upkeep"), (Stage::Dispatch, "dispatch")] {
            let token = supervisor.token(stage);
            supervisor.spawn(stage, name, noting(&log, token, name));
        }
        let (token, noted) = (supervisor.token(Stage::Intake), log.clone());
        supervisor.spawn(Stage::Intake, "intake", async move {
            token.cancelled().await;
            tokio::time::sleep(GRACE / 6).await;
            assert!(others.iter().all(|other| !other.is_cancelled()), "told while intake goes on");
            noted.lock().push("intake");
            Ok(())
        });
        assert_eq!(supervisor.run(async {}, GRACE).await, Ended::Clean);
        let mut log = log.lock();
        assert_eq!(log.first(), Some(&"intake"));
        log.sort_unstable();
        assert_eq!(*log, ["dispatch", "intake", "upkeep"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_stage_does_not_end_takes_no_time_of_the_next() {
        let mut supervisor = Supervisor::default();
        supervisor.spawn(Stage::Intake, "trickle", std::future::pending());
        let (token, began) = (supervisor.token(Stage::Dispatch), Instant::now());
        let (told, report) = (Arc::new(Mutex::new(None)), supervisor.token(Stage::Report));
        let noted = Arc::clone(&told);
        supervisor.spawn(Stage::Dispatch, "dispatch", async move {
            token.cancelled().await;
            *noted.lock() = Some(began.elapsed().as_secs());
            report.cancelled().await;
            Ok(())
        });
        assert_eq!(supervisor.run(async {}, GRACE).await, Ended::CutOff(vec!["trickle", "dispatch"]));
        assert_eq!(*told.lock(), Some(Stage::Intake.share(GRACE).as_secs()));
        assert_eq!(
            began.elapsed().as_secs(),
            Stage::Dispatch.share(GRACE).as_secs(),
            "it had all the time that there is but what reports need"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_cut_off_at_the_deadline_and_named_and_no_other() {
        let mut supervisor = Supervisor::default();
        supervisor.spawn(Stage::Dispatch, "stuck", std::future::pending());
        let token = supervisor.token(Stage::Upkeep);
        let log = Arc::new(Mutex::new(Vec::new()));
        supervisor.spawn(Stage::Upkeep, "upkeep", noting(&log, token, "upkeep"));
        let ended = supervisor.run(async {}, GRACE).await;
        assert_eq!(ended, Ended::CutOff(vec!["stuck"]));
        assert_eq!(*log.lock(), ["upkeep"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_fails_or_panics_ends_the_process_and_is_named() {
        let mut supervisor = Supervisor::default();
        supervisor.spawn(Stage::Dispatch, "broken", async { anyhow::bail!("the disk is gone") });
        let ended = supervisor.run(std::future::pending(), GRACE).await;
        assert_eq!(ended, Ended::Failed { task: "broken", error: "the disk is gone".into() });
        let mut supervisor = Supervisor::default();
        supervisor.spawn(Stage::Dispatch, "panics", async { panic!("oh") });
        let ended = supervisor.run(std::future::pending(), GRACE).await;
        assert!(matches!(ended, Ended::Failed { task: "panics", .. }));
    }
}
