//! The end of a test: the event that was delivered is looked for, until it is found or the time for it is over. Nothing that comes of it
//! makes the delivery a failure.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use toktra_siem_core::delivery::SearchOutcome;
use toktra_siem_core::destination::reply::retry_after;
use toktra_siem_egress::{Stage, StageName};
use toktra_siem_platform::destination::OutboundRequest;
use toktra_siem_platform::search::{Lookup, Sighting};

use super::{Progress, Trial};
use crate::link::SendLimits;

/// One question, from dialling to the last byte of the answer.
const QUESTION: Duration = Duration::from_secs(10);
/// Between two questions at least. A pause is a quarter of the time so far: what takes long is asked for rarely.
const LEAST: Duration = Duration::from_millis(500);
/// Between two questions at most, unless the platform asks for more.
const MOST: Duration = Duration::from_secs(5);
/// How often it is told how long the search takes already.
const TELL: Duration = Duration::from_secs(1);
/// Questions in a row that did not get there, after which nobody asks again.
const LOST: u32 = 3;

/// What came of looking for the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searched {
    /// In a word.
    pub outcome: SearchOutcome,
    /// How long it took from the platform's acceptance until the event was found or the search ended; `None` if there was no search.
    pub after: Option<Duration>,
    /// In a sentence or two.
    pub message: String,
    /// It was found, or somebody gave a credential for it and has something to look at.
    told: bool,
}

impl Searched {
    fn new(outcome: SearchOutcome, after: Duration, message: String, told: bool) -> Self {
        Self { outcome, after: Some(after), message, told }
    }

    /// Its stage. There is none if nobody gave a credential for searching and the event was not found: a test that was delivered then has no
    /// failed stage.
    pub(super) fn stage(&self) -> Option<Stage> {
        let ok = self.outcome == SearchOutcome::Found;
        let (duration, detail) = (self.after?, self.message.clone());
        self.told.then_some(Stage { name: StageName::Searchable, ok, duration, detail })
    }
}

/// `3.1 s`.
fn seconds(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

impl Trial {
    /// Searches for the event, which was taken at `accepted`; `None` if the platform has no search. It ends when the listener goes.
    pub(super) async fn look(&self, accepted: Instant) -> Option<Searched> {
        let (request, own) = match self.link.destination.look_for(self.event.event_id, self.event.event_time) {
            Lookup::Never => return None,
            Lookup::Without(message) => {
                let outcome = SearchOutcome::NotSearched;
                return Some(Searched { outcome, after: None, message, told: false });
            }
            Lookup::Ask { request, own } => (request, own),
        };
        let timing = &self.ctx.timing;
        let until = Instant::now() + if own { timing.search } else { timing.search_unasked };
        Some(tokio::select! {
            biased;
            () = self.listener.gone() => {
                let message = "The search was stopped: the client disconnected, the connector was removed, or the service is stopping.".to_owned();
                Searched::new(SearchOutcome::NotSearched, accepted.elapsed(), message, own)
            }
            searched = self.seek(&request, own, accepted, until) => searched,
        })
    }

    async fn seek(&self, request: &OutboundRequest, own: bool, accepted: Instant, until: Instant) -> Searched {
        let (clock, random, destination) = (&*self.ctx.clock, &*self.ctx.random, &self.link.destination);
        let mut lost = 0;
        loop {
            self.tell_search(accepted);
            let left = until.saturating_duration_since(Instant::now());
            let answer = self.link.ask(request, clock, random, SendLimits::within(QUESTION.min(left))).await;
            let after = accepted.elapsed();
            let ended =
                |outcome, message| Searched::new(outcome, after, message, own || outcome == SearchOutcome::Found);
            let mut pause = (after / 4).clamp(LEAST, MOST);
            let without_answer = match answer {
                Ok(reply) => {
                    lost = 0;
                    match destination.seen(&reply) {
                        Sighting::Found => {
                            return ended(SearchOutcome::Found, format!("searchable after {}", seconds(after)));
                        }
                        Sighting::Refused(message) if own => return ended(SearchOutcome::SearchRefused, message),
                        Sighting::Refused(message) | Sighting::Unable(message) => {
                            return ended(SearchOutcome::NotSearched, message);
                        }
                        Sighting::NotYet => {
                            let answered = (200..300).contains(&reply.status);
                            pause = pause.max(retry_after(&reply, clock.now()).unwrap_or_default());
                            (!answered).then(|| format!("The last search was answered with status {}.", reply.status))
                        }
                    }
                }
                Err(unreached) => {
                    lost += 1;
                    if unreached.misconfigured || lost == LOST {
                        return ended(SearchOutcome::NotSearched, unreached.cause.message);
                    }
                    Some(unreached.cause.message)
                }
            };
            if Instant::now() + pause >= until {
                return match without_answer {
                    Some(message) => ended(SearchOutcome::NotSearched, message),
                    None => ended(SearchOutcome::NotFound, destination.not_found()),
                };
            }
            self.wait(pause, accepted).await;
        }
    }

    async fn wait(&self, pause: Duration, accepted: Instant) {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            sleep(left.min(TELL)).await;
            self.tell_search(accepted);
        }
    }

    fn tell_search(&self, accepted: Instant) {
        self.listener.tell(|| Progress::Searching(self.delivery.stream.kind, accepted.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_tenths_of_a_second() {
        for (ms, told) in [(0, "0.0 s"), (49, "0.0 s"), (3_149, "3.1 s"), (3_150, "3.2 s"), (59_999, "60.0 s")] {
            assert_eq!(seconds(Duration::from_millis(ms)), told);
        }
    }
}
