//! Budgets, by a clock that the tests move.

use super::*;

const ACCOUNT: [u8; 32] = [1; 32];
const START: Timestamp = Timestamp(1_736_937_000_000);

fn address(n: u32) -> IpAddr {
    IpAddr::from(n.to_be_bytes())
}

/// An account's number that no other `n` has.
fn account(n: u32) -> [u8; 32] {
    let mut account = [0; 32];
    account[..4].copy_from_slice(&n.to_le_bytes());
    account[31] = 9;
    account
}

fn stranger(account: [u8; 32], from: u32) -> Attempt {
    Attempt::new(account, Some(address(from)), Way::Stranger)
}

/// Guesses wrong, where that is let through.
fn guess(guesses: &Guesses, attempt: &Attempt, now: Timestamp) -> bool {
    let passed = guesses.check(attempt, now).is_ok();
    if passed {
        guesses.wrong(attempt, now);
    }
    passed
}

/// How many of `count` wrong guesses are let through.
fn passed(guesses: &Guesses, count: u32, now: Timestamp, attempt: impl Fn(u32) -> Attempt) -> u32 {
    (0..count).map(|n| u32::from(guess(guesses, &attempt(n), now))).sum()
}

#[test]
fn wrong_guesses_from_elsewhere_lock_nobody_out() {
    let guesses = Guesses::default();
    assert_eq!(passed(&guesses, 1_000, START, |_| stranger(ACCOUNT, 1)), PER_PAIR);
    assert!(guesses.check(&stranger(ACCOUNT, 2), START).is_ok());
    assert!(guesses.check(&stranger(account(2), 1), START).is_ok(), "nor does it lock another person at that address");
}

#[test]
fn ten_thousand_guesses_from_as_many_addresses_are_evaluated_some_hundred_times() {
    let guesses = Guesses::default();
    assert_eq!(passed(&guesses, 10_000, START, |n| stranger(ACCOUNT, n)), PER_ACCOUNT);
    let slowly: u32 = (0..10_000)
        .map(|n| u32::from(guess(&guesses, &stranger(ACCOUNT, n), START.plus(Duration::from_secs(u64::from(n))))))
        .sum();
    assert!(slowly <= 3 * PER_ACCOUNT, "{slowly}");
}

#[test]
fn a_known_device_a_session_and_an_address_that_was_logged_in_from_have_their_own_budgets() {
    let guesses = Guesses::default();
    guesses.right(&stranger(ACCOUNT, 7), START);
    passed(&guesses, 10_000, START, |n| stranger(ACCOUNT, 1_000 + n));
    assert!(guesses.check(&stranger(ACCOUNT, 8), START).is_err(), "the account's own budget is used up");
    assert!(guesses.check(&stranger(ACCOUNT, 7), START).is_ok());
    for (way, budget) in [(Way::Device([1; 16]), PER_DEVICE), (Way::Session([1; 32]), PER_SESSION)] {
        let attempt = Attempt::new(ACCOUNT, Some(address(1_001)), way);
        assert_eq!(passed(&guesses, 1_000, START, |_| attempt), budget);
    }
    assert!(guesses.check(&Attempt::new(ACCOUNT, Some(address(7)), Way::Device([2; 16])), START).is_ok());
    assert_eq!(
        passed(&guesses, 1_000, START, |_| stranger(ACCOUNT, 7)),
        PER_PAIR,
        "what a device got wrong is not theirs"
    );
}

#[test]
fn one_person_behind_a_shared_address_does_not_use_it_up() {
    let guesses = Guesses::default();
    // However many accounts of theirs they try.
    for n in 0..10 {
        passed(&guesses, 100, START, |_| stranger(account(n), 7));
    }
    assert!(guesses.check(&stranger(account(99), 7), START).is_ok());
    let sprayed = passed(&guesses, 10_000, START, |n| stranger(account(1_000 + n), 7));
    assert_eq!(sprayed, PER_ADDRESS - 10 * PER_PAIR, "an address has an end over all accounts");
    let limited = guesses.check(&stranger(account(99), 7), START).unwrap_err();
    assert!(limited.wait <= Key::Address(address(7)).pace(), "{limited:?}");
}

#[test]
fn whoever_sits_where_many_people_logged_in_cannot_guess_at_all_of_them() {
    let guesses = Guesses::default();
    for n in 0..500 {
        guesses.right(&stranger(account(n), 7), START);
    }
    assert_eq!(passed(&guesses, 10_000, START, |n| stranger(account(n % 500), 7)), PER_HOME);
    assert!(guesses.check(&stranger(account(499), 7), START).is_err());
    let other = Guesses::default();
    other.right(&stranger(ACCOUNT, 7), START);
    passed(&other, 10_000, START, |n| stranger(account(n), 7));
    assert!(other.check(&stranger(ACCOUNT, 7), START).is_ok(), "strangers at the same address lock nobody out");
}

#[test]
fn what_succeeds_or_is_not_evaluated_costs_nothing() {
    let guesses = Guesses::default();
    for _ in 0..10_000 {
        assert!(guesses.check(&stranger(ACCOUNT, 1), START).is_ok());
        guesses.right(&stranger(ACCOUNT, 2), START);
    }
    assert_eq!(passed(&guesses, 100, START, |_| stranger(ACCOUNT, 1)), PER_PAIR);
}

#[test]
fn a_budget_comes_back_one_guess_at_a_time() {
    let guesses = Guesses::default();
    passed(&guesses, 100, START, |_| stranger(ACCOUNT, 1));
    let wait = guesses.check(&stranger(ACCOUNT, 1), START).unwrap_err().wait;
    assert_eq!(wait, WINDOW / PER_PAIR);
    let then = START.plus(wait);
    assert_eq!(passed(&guesses, 100, then, |_| stranger(ACCOUNT, 1)), 1);
    assert_eq!(passed(&guesses, 100, then.plus(WINDOW), |_| stranger(ACCOUNT, 1)), PER_PAIR);
}

#[test]
fn the_log_is_told_once_an_hour_and_again_after_a_login() {
    let guesses = Guesses::default();
    let told = |from: u32, now: Timestamp| guesses.wrong(&stranger(ACCOUNT, from), now);
    assert_eq!((told(1, START), told(1, START), told(2, START)), (true, false, false));
    assert!(told(1, START.plus(WINDOW)));
    for from in 3..6 {
        passed(&guesses, 100, START, |_| stranger(ACCOUNT, from));
    }
    let other = Guesses::default();
    let firsts = |now: Timestamp| {
        let refusals = (1..5).flat_map(|from| (0..30).map(move |_| stranger(ACCOUNT, from)));
        refusals.filter(|attempt| other.check(attempt, now).map_err(|limited| limited.first) == Err(true)).count()
    };
    for from in 1..5 {
        passed(&other, PER_PAIR, START, |_| stranger(ACCOUNT, from));
    }
    assert_eq!((firsts(START), firsts(START)), (1, 0), "one line for all addresses");
    assert_eq!(other.right(&stranger(ACCOUNT, 99), START), 240);
    assert_eq!((other.right(&stranger(ACCOUNT, 99), START), firsts(START)), (0, 1));
}

#[test]
fn a_network_of_ipv6_counts_as_one_address_and_a_mapped_one_as_ipv4() {
    let at = |text: &str| network(text.parse().unwrap());
    assert_eq!(at("2001:db8:1:2:3:4:5:6"), at("2001:db8:1:2::1"));
    assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
    assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
}

#[test]
fn a_clock_that_is_set_back_makes_nobody_wait_longer_than_the_window() {
    let guesses = Guesses::default();
    passed(&guesses, 100, START.plus(Duration::from_hours(1000)), |_| stranger(ACCOUNT, 1));
    let wait = guesses.check(&stranger(ACCOUNT, 1), START).unwrap_err().wait;
    assert!(wait <= WINDOW, "{wait:?}");
    assert!(guess(&guesses, &stranger(ACCOUNT, 1), START.plus(Duration::from_hours(1001))));
}

#[test]
fn a_flood_of_made_up_accounts_and_addresses_is_bounded_and_washes_nothing_away() {
    let guesses = Guesses::default();
    passed(&guesses, 1_000, START, |_| stranger(ACCOUNT, 1));
    for n in 0..3 * u32::try_from(KEPT).unwrap() {
        guess(&guesses, &stranger(account(n), 10_000 + n), START);
        guesses.check(&stranger(account(n / 2), n), START).ok();
    }
    assert!(guesses.check(&stranger(ACCOUNT, 1), START).is_err());
    for n in 0..2 * u32::try_from(KEPT).unwrap() {
        guesses.right(&stranger(account(n), n), START.plus(Duration::from_millis(u64::from(n))));
    }
    let state = guesses.state.lock();
    assert!(state.budgets.len() <= KEPT + 1 && state.homes.len() <= KEPT);
}
