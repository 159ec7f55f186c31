//! Every state in which an accepted event waits (`docs/adr/0052-health-cannot-lie.md` has the list), and those in which none
//! does for long.

use proptest::test_runner::{Config, TestRunner};

use super::*;

/// What keeps an event from arriving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// A person has paused the connector.
    Paused,
    /// The SIEM is down: first attempts, then probes.
    Down,
    /// The SIEM is down, and then hangs: a probe is under way for long.
    ProbeHangs,
    /// The token is refused.
    Misconfigured,
    /// The credential cannot be read.
    Unusable,
    /// The SIEM asks to be left alone.
    AsksForPause,
    /// No answer comes.
    Unanswered,
    /// What a person has sent again fails, and the next event waits behind it.
    BehindAReplay,
    /// Splunk does not confirm.
    Unconfirmed,
    /// The endpoint chokes on one event and takes the others.
    Parked,
    /// What waited while it was paused is sent to a slow SIEM.
    Backlog,
    /// The worker panics each time.
    Panics,
    /// The store cannot be read.
    Unreadable,
    /// The store refuses writes.
    Unwritable,
    /// The worker hangs before it has begun.
    HangsAtStart,
    /// The worker hangs while it reads.
    HangsInRead,
    /// The cursor stands still for a defect.
    CursorStands,
    /// Nobody claims the stream.
    Unclaimed,
    /// Another node has the stream, lives, and does nothing.
    Elsewhere,
    /// The dispatcher is dead.
    DispatcherDead,
    /// The dispatcher hangs, and a connector is switched on.
    DispatcherHangs,
    /// The dispatcher has stopped as at a shutdown, and the process goes on.
    Drained,
    /// The node is kept away from the store and given up.
    GivenUp,
    /// The SIEM is down, and there is nobody who would try it again.
    NoProbes,
}

const ALL: [Wait; 24] = [
    Wait::Paused,
    Wait::Down,
    Wait::ProbeHangs,
    Wait::Misconfigured,
    Wait::Unusable,
    Wait::AsksForPause,
    Wait::Unanswered,
    Wait::BehindAReplay,
    Wait::Unconfirmed,
    Wait::Parked,
    Wait::Backlog,
    Wait::Panics,
    Wait::Unreadable,
    Wait::Unwritable,
    Wait::HangsAtStart,
    Wait::HangsInRead,
    Wait::CursorStands,
    Wait::Unclaimed,
    Wait::Elsewhere,
    Wait::DispatcherDead,
    Wait::DispatcherHangs,
    Wait::Drained,
    Wait::GivenUp,
    Wait::NoProbes,
];

impl Wait {
    /// A server in which nothing waits yet, and that comes into this state as soon as something does.
    async fn bench(self) -> Bench {
        let way = match self {
            Self::Unusable => Way::Unusable,
            Self::Panics => Way::Panics,
            Self::Unreadable => Way::Unreadable,
            Self::HangsAtStart => Way::Hangs,
            Self::CursorStands => Way::Filterless,
            _ => Way::There,
        };
        let mut config = splunk("test")["config"].clone();
        config["indexer_ack"] = (self == Self::Unconfirmed).into();
        let begins = !matches!(self, Self::Unclaimed | Self::Elsewhere);
        let mut bench = Bench::new(config, way, begins, Budget::default()).await;
        if self == Self::Elsewhere {
            bench.strangers_claim().await;
        }
        tokio::time::sleep(SECOND).await;
        bench
    }

    /// Has `count` events wait.
    async fn begin(self, bench: &mut Bench, count: u64) {
        match self {
            Self::Paused | Self::Backlog => bench.switch(false).await,
            Self::Down | Self::ProbeHangs | Self::NoProbes => bench.siem(Siem::Busy),
            Self::Misconfigured => bench.siem(Siem::Refuses),
            Self::AsksForPause => bench.siem(Siem::AsksForPause),
            Self::BehindAReplay => {
                bench.accept(2).await;
                tokio::time::sleep(SECOND).await;
                bench.siem(Siem::AsksForPause);
                bench.replay().await;
            }
            Self::Unanswered => bench.siem(Siem::Takes(MINUTE)),
            Self::Unconfirmed => bench.siem(Siem::NeverConfirms),
            Self::Parked => bench.siem(Siem::Chokes),
            Self::Unwritable => bench.store.fill(true),
            Self::HangsInRead => bench.store.hang(true),
            Self::DispatcherDead => bench.hub.abort(),
            Self::DispatcherHangs => {
                bench.switch(false).await;
                tokio::time::sleep(SECOND).await;
                bench.store.hang(true);
                tokio::time::sleep(SECOND * 3).await;
            }
            Self::Drained => bench.drain.cancel(),
            Self::GivenUp => {
                bench.store.cut_off(bench.ctx.node.member().id());
                tokio::time::sleep(SECOND * 16).await;
            }
            Self::Unusable
            | Self::Panics
            | Self::Unreadable
            | Self::HangsAtStart
            | Self::CursorStands
            | Self::Unclaimed
            | Self::Elsewhere => {}
        }
        tokio::time::sleep(SECOND).await;
        bench.accept(count).await;
        match self {
            Self::DispatcherHangs => bench.switch(true).await,
            Self::ProbeHangs => {
                tokio::time::sleep(SECOND * 20).await;
                bench.siem(Siem::Takes(MINUTE));
            }
            Self::NoProbes => {
                tokio::time::sleep(SECOND * 20).await;
                bench.hub.abort();
            }
            Self::Backlog => {
                tokio::time::sleep(MINUTE * 2).await;
                bench.siem(Siem::Takes(SECOND * 25));
                bench.switch(true).await;
            }
            _ => {}
        }
    }

    /// The states and reasons that may be told, and the code of the cause where the state is `stalled`.
    fn told(self) -> (&'static [State], &'static [Reason], &'static str) {
        use State::{Degraded, Misconfigured, Off, Stalled};
        const GONE: &[Reason] = &[Reason::Stalled, Reason::CatchingUp, Reason::Starting];
        let stalled = |code| (&[Stalled, Degraded][..], GONE, code);
        let outage: &[Reason] = &[Reason::Down, Reason::Retrying, Reason::Sending];
        match self {
            Self::Paused => (&[Off], &[Reason::Paused], ""),
            Self::Down | Self::ProbeHangs | Self::AsksForPause | Self::BehindAReplay | Self::Unanswered => {
                (&[Degraded], outage, "")
            }
            Self::Misconfigured => (&[Misconfigured], &[Reason::Misconfigured], ""),
            Self::Unusable => (&[Misconfigured], &[Reason::Unusable], ""),
            Self::Unconfirmed => (&[Degraded], &[Reason::Confirming, Reason::Starting, Reason::CatchingUp], ""),
            Self::Parked => (
                &[Degraded],
                &[
                    Reason::Failing,
                    Reason::Retrying,
                    Reason::Sending,
                    Reason::Down,
                    Reason::CatchingUp,
                    Reason::Starting,
                ],
                "",
            ),
            Self::Backlog => (&[Off, Degraded], &[Reason::Paused, Reason::CatchingUp, Reason::Sending], ""),
            Self::Panics | Self::Unreadable | Self::Unwritable => (&[Degraded], &[Reason::OwnFailure], ""),
            Self::HangsAtStart | Self::HangsInRead => stalled("stalled_worker"),
            Self::CursorStands => stalled("stalled_no_progress"),
            Self::Unclaimed | Self::DispatcherDead | Self::DispatcherHangs | Self::Drained => {
                stalled("stalled_dispatcher")
            }
            Self::GivenUp => stalled("stalled_node"),
            Self::Elsewhere => stalled("stalled_elsewhere"),
            Self::NoProbes => (&[Degraded, Stalled], &[Reason::Down, Reason::Stalled], "stalled_dispatcher"),
        }
    }

    /// From when on it has to be called stalled: nothing has moved for a minute, and then there is a look.
    fn stalled_after(self) -> Option<Duration> {
        let (_, _, code) = self.told();
        match self {
            _ if code.is_empty() => None,
            // A minute longer than a probe, the longest pause before it and its answer may take.
            Self::NoProbes => Some(SECOND * (20 + 60 + 30 + 60 + 16)),
            _ => Some(MINUTE + SECOND * 16),
        }
    }
}

/// Plays it through, and looks every few seconds at what is said.
async fn play(wait: Wait, count: u64, lasts: Duration, step: Duration) {
    let mut bench = wait.bench().await;
    wait.begin(&mut bench, count).await;
    let (began, (states, reasons, code)) = (Instant::now(), wait.told());
    let mut late = 0;
    while began.elapsed() < lasts {
        let said = bench.said().await;
        let (stream, waited) = (&said.stream, bench.waited().await);
        let about = format!("{wait:?} after {:?}: {} {:?}", began.elapsed(), stream.sentence, stream.delay);
        let waited_for = waited.unwrap_or_default();
        assert!((said.lag - waited_for.as_secs_f64()).abs() < 1.1, "{about}: the lag is {}", said.lag);
        if waited_for > MINUTE {
            late += 1;
            assert!(states.contains(&stream.state), "{about}");
            let delay = stream.delay.as_ref().unwrap_or_else(|| panic!("{about}: no reason"));
            assert!(reasons.contains(&delay.reason), "{about}");
            assert_eq!(stream.state == State::Stalled, delay.reason == Reason::Stalled, "{about}");
        } else {
            assert!(stream.delay.is_none(), "{about}");
        }
        let cause = stream.last_error.as_ref().map(|error| &*error.cause.code);
        if stream.state == State::Stalled {
            assert!(said.stalled && said.service.is_some(), "{about}: the metrics do not say so");
            assert!(cause == Some(code) && stream.since.is_some(), "{about}: {cause:?}");
        }
        if wait.stalled_after().is_some_and(|after| waited_for > after) {
            assert_eq!(stream.state, State::Stalled, "{about}");
        }
        if code.is_empty() {
            assert!(!said.stalled && said.service.is_none(), "{about}: nothing of it is this server's fault");
        }
        if reasons == [Reason::OwnFailure] && waited_for > MINUTE {
            assert!(said.failing && cause == Some("own_failure"), "{about}");
        }
        tokio::time::sleep(step).await;
    }
    assert!(late > 0, "{wait:?}: nothing was late");
}

/// Runs in virtual time.
fn virtually(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test);
}

#[test]
fn whatever_keeps_an_event_waiting_shows_with_its_reason() {
    for wait in ALL {
        virtually(play(wait, 3, MINUTE * 5, SECOND * 5));
    }
}

#[test]
fn it_shows_however_many_wait_and_whenever_somebody_looks() {
    let strategy = (proptest::sample::select(&ALL[..]), 1..40_u64, 100..700_u64, 1500..17_000_u64);
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let played = TestRunner::new(config).run(&strategy, |(wait, count, lasts, step)| {
        virtually(play(wait, count, SECOND * u32::try_from(lasts).unwrap(), Duration::from_millis(step)));
        Ok(())
    });
    played.unwrap();
}

/// Once what hung answers, nothing is left of it.
#[tokio::test(start_paused = true)]
async fn what_is_over_is_told_no_more() {
    let mut bench = Bench::splunk(Way::There).await;
    tokio::time::sleep(SECOND).await;
    bench.store.hang(true);
    bench.accept(3).await;
    tokio::time::sleep(MINUTE * 3).await;
    assert_eq!(bench.said().await.stream.state, State::Stalled);
    bench.store.hang(false);
    tokio::time::sleep(SECOND).await;
    let said = bench.said().await;
    assert_eq!(
        (said.stream.state, said.stream.lag_events),
        (State::Healthy, 0),
        "the event is there, whatever was seen last"
    );
    tokio::time::sleep(SECOND * 16).await;
    let said = bench.said().await;
    assert!(!said.stalled && said.service.is_none() && said.stream.last_error.is_none());
}

/// A server that has just started knows nothing yet of what moves, and does not say that all is well.
#[tokio::test(start_paused = true)]
async fn a_restart_does_not_make_it_well() {
    let mut bench = Bench::splunk(Way::Hangs).await;
    bench.accept(1).await;
    tokio::time::sleep(MINUTE * 3).await;
    assert_eq!(bench.said().await.stream.state, State::Stalled);
    let again = Bench::beside(&bench, Way::Hangs).await;
    let said = again.said().await;
    assert_eq!(said.stream.state, State::Degraded);
    assert_eq!(said.stream.delay.unwrap().reason, Reason::Starting);
    tokio::time::sleep(MINUTE + SECOND * 16).await;
    assert_eq!(again.said().await.stream.state, State::Stalled);
}

/// A watchdog that does not look any more is found out as well.
#[tokio::test(start_paused = true)]
async fn nobody_relies_on_a_watchdog_that_is_gone() {
    let mut bench = Bench::splunk(Way::Hangs).await;
    bench.accept(1).await;
    tokio::time::sleep(SECOND * 20).await;
    bench.tasks[1].abort();
    tokio::time::sleep(MINUTE * 2).await;
    let said = bench.said().await;
    assert_eq!(said.stream.state, State::Stalled);
    assert_eq!(said.stream.last_error.unwrap().cause.code, "stalled_unwatched");
    assert_eq!(said.service, Some("dispatcher"), "nothing is heard of it");
}

/// Nothing is called stalled that moves, however slowly, or where nothing waits.
#[test]
fn what_moves_is_not_called_stalled() {
    let strategy = (0..30_u64, 1..60_u64, 1..25_u64, proptest::bool::ANY, proptest::bool::ANY);
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let played = TestRunner::new(config).run(&strategy, |(takes, pause, count, one_at_a_time, tight)| {
        virtually(async {
            let mut config = splunk("test")["config"].clone();
            // Nothing is left for it but the small batch that everybody may have.
            let memory = if tight { Budget::new(1, 1) } else { Budget::default() };
            if one_at_a_time {
                config["max_in_flight"] = 1.into();
            }
            let mut bench = Bench::new(config, Way::There, true, memory).await;
            bench.siem(Siem::Takes(SECOND * u32::try_from(takes).unwrap()));
            let mut next = Instant::now();
            for _ in 0..120 {
                if Instant::now() >= next {
                    bench.accept(count).await;
                    next += SECOND * u32::try_from(pause).unwrap();
                }
                let said = bench.said().await;
                let about = format!("{takes} {pause} {count}: {} {:?}", said.stream.sentence, said.stream.delay);
                assert!(!said.stalled && said.service.is_none(), "{about}");
                assert!(said.stream.state <= State::Degraded, "{about}");
                if bench.waited().await.is_none() {
                    assert_eq!(said.stream.state, State::Healthy, "{about}");
                }
                tokio::time::sleep(SECOND * 5).await;
            }
        });
        Ok(())
    });
    played.unwrap();
}

#[tokio::test(start_paused = true)]
async fn where_nothing_waits_all_is_well() {
    let bench = Bench::splunk(Way::Hangs).await;
    tokio::time::sleep(MINUTE * 10).await;
    let said = bench.said().await;
    assert_eq!(said.stream.state, State::Healthy);
    assert!(said.stream.delay.is_none() && !said.stalled && said.service.is_none());
}
