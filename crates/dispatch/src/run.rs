//! A worker from its start to its end: after a failure it starts afresh, and it ends with what it works for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use toktra_siem_core::breaker::{Breaker, OpenKind};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::{NodeId, OrgId, StreamId};
use toktra_siem_store::StoreError;

use super::Context;
use super::link::LinkError;
use super::worker::{Control, Worker, WorkerError};

/// The longest pause after failures of our own, and for how long a worker has to live until they are forgotten.
const LONGEST: Duration = Duration::from_mins(1);
/// The longest one where only the store did not answer: it is back at any moment, and then nothing should wait.
pub(super) const LONGEST_FOR_STORE: Duration = Duration::from_secs(5);

/// Failures of our own in a row: the pause after each is longer, and the log has a line where the reason is another one.
#[derive(Debug, Default)]
struct Setbacks {
    number: u32,
    told: Option<String>,
}

impl Setbacks {
    /// One more, of a worker that had lived for so long. Whether there is something new to tell.
    fn add(&mut self, why: &str, lived: Duration) -> bool {
        if lived >= LONGEST {
            *self = Self::default();
        }
        self.number += 1;
        self.told.replace(why.to_owned()).is_none_or(|told| told != why)
    }

    /// The pause after the last one.
    fn pause(&self, first: Duration, longest: Duration) -> Duration {
        first.saturating_mul(1 << self.number.saturating_sub(1).min(16)).min(longest)
    }
}

/// What the stream's connector is called, for the log; `None` if that cannot be read.
pub(super) async fn name(ctx: &Context, org: OrgId, stream: StreamId) -> Option<String> {
    ctx.store.connector(org, stream.connector).await.ok().map(|record| record.connector.name)
}

/// Runs the worker of `stream` until it is stopped or drained, the stream is not wanted or another's, or the node is dead. Failures of the
/// store are logged and survived.
///
/// `unproven`: the one before it panicked.
pub async fn worker(ctx: Arc<Context>, org: OrgId, stream: StreamId, mut control: Control, mut unproven: bool) {
    let mut setbacks = Setbacks::default();
    while !control.member.is_dead() {
        control.changed.mark_unchanged();
        let since = Instant::now();
        let turning = ctx.watch.worker(stream);
        let (failure, began) = match Worker::start(ctx.clone(), (org, stream), control.member.clone()).await {
            Ok(mut worker) => {
                worker.faults.unproven = unproven;
                let served = worker.serve(&mut control, &turning).await;
                worker.wind_down().await;
                match served {
                    Ok(()) => return,
                    Err(failure) => (failure, true),
                }
            }
            Err(failure) => (failure, false),
        };
        let name = name(&ctx, org, stream).await;
        let connector_name = name.as_deref();
        let pause = match failure {
            WorkerError::Store(StoreError::NotFound) | WorkerError::Link(LinkError::Gone) => {
                tracing::info!(%stream, connector_name, "the stream is gone: its worker ends");
                ctx.warnings.works(stream);
                return;
            }
            WorkerError::Off => {
                tracing::info!(%stream, connector_name, "the stream was switched off: its worker ends");
                ctx.warnings.works(stream);
                return;
            }
            // A save makes a newer lease as well: whether the stream is still its own comes out at the start.
            WorkerError::Store(StoreError::Fenced) if began => continue,
            WorkerError::Store(StoreError::Fenced) => {
                return lost(&ctx, stream, connector_name);
            }
            WorkerError::Link(LinkError::Unusable(why)) => {
                match hold_unusable(&ctx, control.member.id(), stream, connector_name, why).await {
                    Ok(()) => {}
                    Err(StoreError::Fenced) => return lost(&ctx, stream, connector_name),
                    Err(failure) => {
                        tracing::error!(%stream, connector_name, error = %failure, "the hold could not be recorded");
                        ctx.warnings.failed(stream, ctx.clock.now(), Cause::own_failure(&failure));
                    }
                }
                ctx.timing.after_unusable_link
            }
            failure => {
                unproven = began;
                // A panic says which task it was, which is another one each time.
                let panicked = matches!(failure, WorkerError::Panicked(_));
                let why = if panicked { "a panic".to_owned() } else { failure.to_string() };
                if setbacks.add(&why, since.elapsed()) {
                    tracing::error!(%stream, connector_name, error = %failure, "the worker of this stream starts afresh; if it fails again, after longer and longer pauses");
                }
                let waits = matches!(&failure, WorkerError::Store(error) if error.is_retryable());
                ctx.warnings.failed(stream, ctx.clock.now(), Cause::own_failure(&failure));
                setbacks.pause(ctx.timing.after_store_failure, if waits { LONGEST_FOR_STORE } else { LONGEST })
            }
        };
        if !control.pause(pause).await {
            return;
        }
    }
}

/// A worker under watch. It begins when its predecessor has ended, so that nothing is in flight twice; after a panic it begins again.
pub(super) async fn supervised(
    ctx: Arc<Context>,
    org: OrgId,
    stream: StreamId,
    mut control: Control,
    before: Option<AbortOnDropHandle<()>>,
) {
    if let Some(before) = before {
        let _ = before.await;
    }
    let mut setbacks = Setbacks::default();
    loop {
        let since = Instant::now();
        control.changed.mark_unchanged();
        let worker = worker(ctx.clone(), org, stream, control.clone(), setbacks.number > 0);
        let Err(failure) = AbortOnDropHandle::new(tokio::spawn(worker)).await else { return };
        if setbacks.add("a panic", since.elapsed()) {
            let name = name(&ctx, org, stream).await;
            let connector_name = name.as_deref();
            tracing::error!(%stream, connector_name, error = %failure, "a worker ended abnormally; it starts again, after longer and longer pauses");
        }
        ctx.warnings.failed(stream, ctx.clock.now(), Cause::own_failure(&failure));
        let pause = setbacks.pause(ctx.timing.after_store_failure, LONGEST);
        if !control.pause(pause).await {
            return;
        }
    }
}

impl Control {
    /// Waits for so long, or until the connector is saved. False if the worker is to end instead.
    async fn pause(&mut self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            Ok(()) = self.changed.changed() => true,
            () = self.stop.cancelled() => false,
            () = self.drain.cancelled() => false,
            () = self.member.died() => false,
        }
    }
}

/// The stream is no business of this node any more.
fn lost(ctx: &Context, stream: StreamId, connector_name: Option<&str>) {
    tracing::info!(%stream, connector_name, "the stream has another owner: its worker ends");
    ctx.warnings.works(stream);
}

/// The code of the cause why a connector cannot be used.
pub(super) const UNUSABLE: &str = "connector_unusable";

/// Opens the breaker of a stream whose connector cannot be used, so that its health says why at present and when it is looked at again; the log
/// says it once for each reason. A save closes it; so does the first probe that succeeds once the connector can be used again. Where the receiver
/// wants no more, that stays the reason.
pub(super) async fn hold_unusable(
    ctx: &Context,
    node: NodeId,
    stream: StreamId,
    connector_name: Option<&str>,
    why: String,
) -> Result<(), StoreError> {
    let (lease, record) = ctx.store.lease(node, stream).await?;
    let now = ctx.clock.now();
    let cause = Cause::new(UNUSABLE, format!("This connector cannot be used: {why}."));
    let (since, failures) = match &record.breaker {
        Breaker::Closed { .. } => (now, 0),
        open if open.next_probe().is_none() => return Ok(()),
        Breaker::Open { since, failures, .. } => (*since, *failures),
    };
    if !matches!(&record.breaker, Breaker::Open { cause: known, .. } if *known == cause) {
        tracing::error!(%stream, connector_name, why, "this connector cannot be used: its events wait");
    }
    let (kind, probe_at) = (OpenKind::Misconfigured, now.plus(ctx.timing.after_unusable_link));
    match ctx.store.set_breaker(&lease, Breaker::Open { kind, cause, since, failures, probe_at }).await {
        // It was saved meanwhile, and is looked at again.
        Err(StoreError::Fenced) => Ok(()),
        stored => stored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_worker_has_lived_for_a_while_and_a_reason_is_told_once() {
        let (mut setbacks, second) = (Setbacks::default(), Duration::from_secs(1));
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(setbacks.add("x", second), expected == 1);
            assert_eq!(setbacks.pause(second, LONGEST), second * expected);
        }
        assert_eq!(setbacks.pause(second, LONGEST_FOR_STORE), LONGEST_FOR_STORE);
        assert!(setbacks.add("y", second));
        assert!(setbacks.add("y", LONGEST));
        assert_eq!(setbacks.pause(second, LONGEST), second);
    }
}
