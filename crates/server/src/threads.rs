//! Threads for work other than the API's. The operating system divides the processors between both, so neither waits for what the other has queued.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

/// Threads of a part of the service; they end with it.
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    /// Starts one for each processor, two at least. `name` is how they are called.
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
        let runtime = Builder::new_multi_thread().worker_threads(count).thread_name(name).enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    /// Does `work` on them, and what it spawns. Dropping the future ends the work.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        match &self.0 {
            Some(runtime) => AbortOnDropHandle::new(runtime.spawn(work)).await,
            None => Ok(work.await),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Not by waiting for them: whoever drops this is a thread of another runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
