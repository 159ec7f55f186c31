//! Threads of transport's own, so that a receiver that keeps them busy keeps nobody waiting but other receivers: not the API, not the page,
//! not the store.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::failure::FailureKind;
use toktra_siem_core::delivery::StageName;

/// How long after its own deadline a piece of work is given up, should the threads be too busy to notice.
const GRACE: Duration = Duration::from_secs(1);

/// Where outbound work runs.
pub(super) enum Threads {
    /// Wherever it is awaited.
    Caller,
    /// On threads of its own; `None` once they have been told to end.
    Own(Option<Runtime>),
}

impl Threads {
    /// One thread for each processor, and one more where there is only one: a busy connection must not hold up all others.
    pub(super) fn own() -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
        let runtime = Builder::new_multi_thread().worker_threads(count).thread_name("egress").enable_all().build()?;
        Ok(Self::Own(Some(runtime)))
    }

    /// Does `work`, which keeps to `deadline` by itself. Dropping the future ends the work.
    ///
    /// With threads of its own, the work fails alone where it panics, and is given up by the caller's clock where it does not come to its
    /// end.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        deadline: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, FailureKind> {
        let Self::Own(Some(runtime)) = self else { return Ok(work.await) };
        match timeout(deadline + GRACE, AbortOnDropHandle::new(runtime.spawn(work))).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(lost)) => Err(FailureKind::Local(lost.to_string())),
            Err(_) => Err(FailureKind::Timeout(StageName::Http)),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Not by waiting for them: whoever drops this may be a thread of another runtime.
        if let Self::Own(runtime) = self
            && let Some(runtime) = runtime.take()
        {
            runtime.shutdown_background();
        }
    }
}
