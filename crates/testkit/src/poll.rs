//! Waiting for a condition, because a fixed sleep is either too short on a busy machine or too long on a quiet one.

use std::time::Duration;

/// How long [`until`] waits before it gives up. Generous on purpose: it bounds a hang, it does not measure anything.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// The pause between two looks at the condition.
const INTERVAL: Duration = Duration::from_millis(10);

/// Asks `look` again and again until it answers `Some`, and returns what it found.
///
/// `what` names the awaited condition in the panic message, e.g. `"the delivery is recorded"`.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, look).await.unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain until {what}"))
}

/// As [`until`], with a deadline of its own and `None` once it has passed.
pub async fn within<T>(deadline: Duration, look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    every(INTERVAL, deadline, look).await
}

/// As [`within`], with a pause of its own between two looks.
pub async fn every<T>(pause: Duration, deadline: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(pause).await;
        }
    };
    tokio::time::timeout(deadline, found).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn until_returns_the_first_answer() {
        let mut looks = 0;
        let found = until("the third look", async || {
            looks += 1;
            (looks == 3).then_some(looks)
        })
        .await;
        assert_eq!(found, 3);
    }

    #[tokio::test]
    async fn within_gives_up_at_its_deadline() {
        let found = within(Duration::ZERO, async || None::<()>).await;
        assert_eq!(found, None);
    }
}
