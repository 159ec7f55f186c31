//! One suite for every backend: what the traits promise, case by case.
//!
//! A backend passes it with a test file of one line, [`conformance_tests!`](crate::conformance_tests), and is held against the reference
//! by [`model::agrees`]. Each case gets a fresh store and a clock that it moves itself. After each step that touches a stream the cases
//! check that the account adds up and that a recount from the rows finds the same (invariant D1).
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a case fails by panicking, like any test")]

use std::any::Any;
use std::sync::Arc;

use toktra_siem_core::ids::{OrgId, Seq};

use crate::{Broken, Clock, Cluster, Store};

pub mod append;
pub mod backend;
pub mod channels;
pub mod cluster;
pub mod config;
pub mod connectors;
pub mod damage;
pub mod fates;
pub mod flow;
pub mod history;
pub mod insight;
pub mod isolation;
pub mod jobs;
pub mod kept;
pub mod model;
pub mod next;
pub mod open;
pub mod overview;
pub mod owner;
pub mod parked;
pub mod people;
pub mod probes;
pub mod read;
pub mod recent;
pub mod recover;
pub mod resume;
pub mod retention;
pub mod settle;
pub mod stored;
pub mod test_deliveries;
pub mod windows;
pub mod world;

pub use owner::Owner;
pub use world::World;

/// Damages a stored event behind the store's back, as a disk might.
pub type Damages = Box<dyn Fn(OrgId, Seq, Broken)>;

/// A fresh, empty store, and whatever has to live as long as it (a temporary directory).
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn Store>,
    /// How events of it are damaged; what [`damage`] asks for.
    pub damages: Option<Damages>,
    /// Dropped after it.
    pub keep: Box<dyn Any>,
}

impl Fixture {
    /// A store that needs nothing beside it.
    pub fn new(store: impl Store + 'static) -> Self {
        Self { store: Arc::new(store), damages: None, keep: Box::new(()) }
    }

    /// The same, with a way to damage its events.
    #[must_use]
    pub fn damaged_by(self, damages: impl Fn(OrgId, Seq, Broken) + 'static) -> Self {
        Self { damages: Some(Box::new(damages)), ..self }
    }
}

/// Runs one case against a store that `make` makes.
pub fn run(make: impl FnOnce(Clock) -> Fixture, case: impl AsyncFnOnce(&World)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new(make).await;
        case(&world).await;
    });
}

/// Runs one case of [`cluster`] against a store that `make` makes, with its nodes.
pub fn run_nodes(
    make: impl FnOnce(Clock) -> (Fixture, Arc<dyn Cluster>),
    case: impl AsyncFnOnce(&World, &dyn Cluster),
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut nodes = None;
        let world = World::new(|clock| {
            let (fixture, cluster) = make(clock);
            nodes = Some(cluster);
            fixture
        })
        .await;
        case(&world, &*nodes.unwrap()).await;
    });
}

/// Expands to one test per case, each against a store made by `$make`, a `fn(Clock) -> Fixture`.
#[macro_export]
macro_rules! conformance_tests {
    ($make:path) => {
        $crate::conformance_cases! { run $make;
            append: dense_sequences_per_org, duplicates, an_id_belongs_to_its_org, all_or_nothing, a_large_call, time_steps_back_with_the_clock,
                heads_are_told;
            read: by_cursor_and_limits, members_in_order;
            connectors: a_stream_starts_after_the_head, the_first_activation_is_remembered, saves_make_revisions, names_are_unique_in_an_org, a_filter_holds_from_the_next,
                secrets_are_kept_or_replaced, datadog_has_two_streams, deletion_gives_up_what_waits, switching_off_fences;
            resume: the_first_activation_starts_from_now, backlog_becomes_a_range, from_now_skips_what_waits, the_slowest_stream_is_the_backlog,
                a_save_closes_the_breaker, what_has_to_be_told_is_kept, metrics_keep_their_order;
            open: every_event_is_accounted_for, the_cursor_is_compared, a_newer_filter_makes_it_stale, a_newer_lease_fences,
                several_at_once, beside_moves_nothing, ids_are_used_once, ranges_are_used_up;
            next: events_are_pinned_as_they_come, some_of_them_may_be_pinned, whoever_is_behind_offers_nothing,
                one_stands_until_it_is_taken_back, what_open_refuses_is_not_pinned, each_stream_of_the_org_has_its_own,
                switched_off_it_pins_nothing;
            windows: members_are_the_whole_range, go_forward_only, are_parked_and_sent_as_one, may_be_filtered_altogether;
            settle: attempts_are_kept, compares_and_sets, losing_an_event_is_refused, children_carry_on, a_partial_reply,
                suspects_are_held, a_former_owner_may_settle, beside_leaves_outcomes_alone, success_is_noted;
            overview: every_stream_of_every_org, the_oldest_undelivered_event;
            parked: pages_ascend, on_their_way_they_are_not_listed, arrive_under_a_new_delivery, fail_again, expire, taken_once;
            probes: an_outage_has_one_row, a_former_owners_probe_has_its_own_row;
            recover: what_waits_becomes_a_range, nothing_waits, a_range_is_filtered_by_its_time;
            jobs: a_range_of_time_becomes_one_of_sequences, a_redelivery_means_what_lives_of_its_delivery, only_what_is_parked_failed,
                a_replay_means_what_the_filter_matches, they_are_worked_off_in_their_order, a_step_compares_and_sets,
                deliveries_tell_their_job, parked_and_delivered_go_together, where_events_stand, discarding_moves_what_is_parked,
                a_cancelled_one_opens_nothing_more, they_end_with_their_connector, they_are_listed_in_pages, there_is_a_limit,
                they_go_with_the_history;
            history: every_filter, newest_first_in_pages, detail, lists_tell_the_last_attempt, a_recovery_is_named;
            fates: every_outcome, the_rule_is_named, before_the_stream;
            insight: standings_name_the_oldest, standings_keep_their_order, whereabouts_say_why, deleted_connectors_are_remembered,
                previews_count_and_show, previews_outlive_payloads, traffic_adds_up, traffic_of_all_is_that_of_each,
                traffic_goes_by_age;
            recent: newest_first_by_filter, what_is_rare_is_found_page_by_page, events_are_listed_without_their_payloads;
            isolation: every_method_keeps_to_its_org;
            retention: undelivered_expires_first, in_flight_is_waited_for, what_lies_still_is_given_up,
                a_window_that_lies_still_expires, history_outlives_payloads, the_audit_log_lives_as_long_as_the_history, windows_and_ranges;
            stored: each_org_has_its_own, what_goes_is_taken_off, nothing_is_left_of_an_org;
            test_deliveries: stand_beside_the_stream, a_success_closes_the_breaker, nothing_is_resumed_where_it_is_off,
                ends_are_checked, what_was_left_is_interrupted, go_with_the_history, are_found_by_their_event;
            config: orgs_come_and_go, keys, the_use_of_a_key_is_noted, audit_is_written_with_the_change, the_audit_log_is_filtered,
                rotations_end, resealing_makes_no_revision, milestones;
            people: come_and_go, an_address_is_taken_over_the_whole_service, an_admin_is_left, a_change_is_compared, sessions,
                role_and_password_end_sessions, a_login_is_refused_after_a_change, sessions_expire, go_with_their_org, failed_logins_are_counted;
            channels: come_and_go_channels, a_notice_is_noted_once, what_is_known_goes_with_its_connector, channels_belong_to_their_org;
            kept: once_for_each_id, a_secret_is_taken_once_by_its_owner, nothing_is_kept_for_longer, an_owner_has_a_limit,
                limits_are_apart_and_what_is_under_way_stays, so_many_requests_are_under_way;
        }
    };
}

/// Expands to one test for each case of [`damage`], against a store whose fixture can damage events and that reads every event from where it
/// was damaged.
#[macro_export]
macro_rules! damage_tests {
    ($make:path) => {
        $crate::conformance_cases! { run $make;
            damage: a_fresh_one_is_left_out, however_many_lie_in_a_row, a_range_goes_on, what_is_parked_ends, what_is_pinned_ends,
                what_lies_still_ends, the_filter_goes_first, a_window_leaves_it_out, what_had_come_to_its_end_stays, retention_tells_it,
                jobs_pass_it_by, nothing_but_its_sequence_is_known, people_find_it, what_is_needed_and_gone_is_damaged;
        }
    };
}

/// Expands to one test for each case of [`cluster`] that a backend with one node passes as well; `$make` is a
/// `fn(Clock) -> (Fixture, Arc<dyn Cluster>)`.
#[macro_export]
macro_rules! node_tests {
    ($make:path) => {
        $crate::conformance_cases! { run_nodes $make;
            cluster: a_node_claims_what_is_wanted, what_is_released_is_free, a_node_lives_once,
                what_is_wanted_follows_the_connectors, a_save_makes_a_newer_lease, one_stream_is_claimed, who_retired_takes_nothing, a_role_is_kept, what_is_told_is_heard;
        }
    };
}

/// Expands to one test for each case of [`cluster`] with several nodes on one store.
#[macro_export]
macro_rules! cluster_tests {
    ($make:path) => {
        $crate::conformance_cases! { run_nodes $make;
            cluster: each_stream_has_one_owner, the_silent_are_taken_over, only_the_lively_take_over,
                each_gets_its_own_back, who_leaves_is_followed_at_once, a_role_has_one_owner;
        }
    };
}

/// One test per named case.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($run:ident $make:path; $($theme:ident: $($case:ident),+;)+) => {
        $($(
            #[test]
            fn $case() {
                $crate::conformance::$run($make, $crate::conformance::$theme::$case);
            }
        )+)+
    };
}
