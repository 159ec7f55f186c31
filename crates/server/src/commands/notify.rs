//! What systemd is told of a service of `Type=notify`: that it is ready, that it lives, that it ends. Nothing is said if nobody has
//! asked (`NOTIFY_SOCKET`).

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

/// The server is there, and takes requests.
pub(super) fn ready(url: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("Listening on {url}"))]);
}

/// It was asked to end, and does so once it has delivered what it can.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("Ending: delivering what waits")]);
}

/// Tells, for as long as what is returned is held, that the process lives: tasks of its runtime are run. `None` where nobody watches.
#[must_use]
pub(super) fn alive() -> Option<AbortOnDropHandle<()>> {
    let mut beats = interval(between_beats(sd_notify::watchdog_enabled()?)?);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let beat = async move {
        loop {
            beats.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    };
    Some(AbortOnDropHandle::new(tokio::spawn(beat)))
}

/// Twice within the time after which it counts as hung, as systemd recommends.
fn between_beats(patience: Duration) -> Option<Duration> {
    Some(patience / 2).filter(|pause| !pause.is_zero())
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd cannot be told about the service (NOTIFY_SOCKET)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_that_it_lives_twice_as_often_as_it_has_to() {
        assert_eq!(between_beats(Duration::from_mins(1)), Some(Duration::from_secs(30)));
        assert_eq!(between_beats(Duration::ZERO), None);
    }
}
