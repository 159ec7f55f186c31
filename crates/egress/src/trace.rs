//! What happened on the way to an answer, stage by stage: a test delivery shows it to a person, a failure names the stage it died in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use toktra_siem_core::delivery::StageName;

/// One stage and how it went. Only what really happened is listed: a kept connection has neither `dns` nor `tcp` nor `tls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Which.
    pub name: StageName,
    /// Whether it came to a good end.
    pub ok: bool,
    /// How long it took.
    pub duration: Duration,
    /// A fact about it (the address, the TLS version, the status), or what went wrong.
    pub detail: String,
}

/// Hears of each stage at its end. Must not block.
pub type Watch = Arc<dyn Fn(&Stage) + Send + Sync>;

/// Collects the stages of one exchange.
pub(super) struct Trace {
    /// When the exchange began.
    pub(super) started: Instant,
    /// Host and port, once the URL has been read.
    pub(super) target: Option<String>,
    stages: Vec<Stage>,
    current: Option<(StageName, Instant)>,
    watch: Option<Watch>,
}

impl Trace {
    pub(super) fn start() -> Self {
        Self::watched(None)
    }

    /// One whose stages are told of as they end.
    pub(super) fn watched(watch: Option<Watch>) -> Self {
        Self { started: Instant::now(), target: None, stages: Vec::new(), current: None, watch }
    }

    /// Enters a stage.
    pub(super) fn begin(&mut self, name: StageName) {
        self.current = Some((name, Instant::now()));
    }

    /// Leaves the stage that is under way, well.
    pub(super) fn pass(&mut self, detail: impl Into<String>) {
        self.end(true, detail.into());
    }

    /// Leaves the stage that is under way, because of a failure.
    pub(super) fn fail(&mut self, detail: impl Into<String>) {
        self.end(false, detail.into());
    }

    /// Forgets the stage that is under way: it turned out not to have happened.
    pub(super) fn undo(&mut self) {
        self.current = None;
    }

    /// The stage that is under way.
    pub(super) fn current(&self) -> Option<StageName> {
        self.current.map(|(name, _)| name)
    }

    /// What was collected, and how long it took in all.
    pub(super) fn finish(self) -> (Vec<Stage>, Duration) {
        (self.stages, self.started.elapsed())
    }

    fn end(&mut self, ok: bool, detail: String) {
        if let Some((name, since)) = self.current.take() {
            let stage = Stage { name, ok, duration: since.elapsed(), detail };
            if let Some(watch) = &self.watch {
                watch(&stage);
            }
            self.stages.push(stage);
        }
    }
}
