//! The signals that end a long-running command in order: SIGTERM, and SIGINT from Ctrl-C.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Completes once the process is asked to end. Listens from the call on, so that a signal that comes early is not lost.
pub(super) fn asked_to_end() -> io::Result<impl Future<Output = ()> + Send> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        let signal = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal, "ending: no more events are taken in, what is under way is finished");
    })
}
