//! What a filter forwards, and from which event on: against the plain reading of the product spec ("Filtering events") and invariant D6.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::filter::{Filter, FilterRule, FilterTimeline, FilterVersion};
use toktra_siem_core::ids::{Revision, Seq, StreamKind};

fn any_filter() -> impl Strategy<Value = Filter> {
    let severities = subsequence(Severity::ALL.to_vec(), 0..=Severity::ALL.len());
    let types = subsequence(EventType::ALL.to_vec(), 0..=EventType::ALL.len());
    (severities, types).prop_map(|(severity, event_types)| Filter { severity, event_types })
}

fn any_event() -> impl Strategy<Value = (EventType, Severity)> {
    (select(EventType::ALL.to_vec()), select(Severity::ALL.to_vec()))
}

/// Saves as a connector sees them: each takes effect at the org's head plus one, and the head never goes back.
fn any_history() -> impl Strategy<Value = Vec<FilterVersion>> {
    proptest::collection::vec((0u64..6, any_filter(), any::<bool>()), 1..8).prop_map(|saves| {
        let mut head = 0;
        let version = |(revision, (events, filter, send_metrics)): (u32, (u64, Filter, bool))| {
            head += events;
            FilterVersion {
                revision: Revision(revision),
                effective_from: Seq(head + 1),
                filter,
                send_metrics,
                passes_own: false,
            }
        };
        (1..).zip(saves).map(version).collect()
    })
}

/// The last save that took effect at or before `seq`, else the first.
fn naive(history: &[FilterVersion], seq: Seq) -> &FilterVersion {
    history.iter().rev().find(|version| version.effective_from <= seq).unwrap_or(&history[0])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_filter_forwards_what_both_lists_name(filter in any_filter(), (event_type, severity) in any_event()) {
        let by_severity = filter.severity.is_empty() || filter.severity.contains(&severity);
        let by_type = filter.event_types.is_empty() || filter.event_types.contains(&event_type);
        let refused = filter.refuses(event_type, severity);
        prop_assert_eq!(refused.is_none(), by_severity && by_type);
        match refused {
            Some(FilterRule::Severity) => prop_assert!(!by_severity),
            Some(FilterRule::EventTypes) => prop_assert!(by_severity && !by_type),
            Some(FilterRule::SendMetrics) => prop_assert!(false, "no rule of a filter"),
            None => {}
        }
        let of_before = FilterVersion {
            revision: Revision(1), effective_from: Seq(1), filter: filter.clone(), send_metrics: true, passes_own: true,
        };
        let told = of_before.refuses(StreamKind::Events, event_type, severity);
        prop_assert_eq!(told, if event_type.is_own() { None } else { refused }, "what was saved before keeps its meaning");
        let open = Filter { severity: Vec::new(), ..filter.clone() };
        prop_assert!(refused.is_some() || open.refuses(event_type, severity).is_none(), "fewer rules forward no less");
        let again: Filter = serde_json::from_str(&serde_json::to_string(&filter).unwrap()).unwrap();
        prop_assert_eq!(again, filter);
    }

    #[test]
    fn each_event_is_judged_by_the_version_in_force_at_its_sequence(history in any_history(), shuffled in any_history().prop_shuffle()) {
        for versions in [history, shuffled] {
            let timeline = FilterTimeline::new(versions.clone());
            let mut ordered = versions;
            ordered.sort_by_key(|version| version.revision);
            prop_assert_eq!(timeline.revision(), ordered.last().map(|version| version.revision));
            for seq in (0..60).map(Seq) {
                prop_assert_eq!(timeline.at(seq), Some(naive(&ordered, seq)));
            }
        }
    }

    #[test]
    fn a_save_changes_no_verdict_on_what_was_accepted_before(history in any_history(), filter in any_filter(), since in 0u64..9) {
        let newest = history.last().unwrap();
        let head = Seq(newest.effective_from.0 - 1 + since);
        let saved = FilterVersion {
            revision: Revision(newest.revision.0 + 1), effective_from: head.next(), filter, send_metrics: !newest.send_metrics,
            passes_own: false,
        };
        let before = FilterTimeline::new(history.clone());
        let after = FilterTimeline::new(history.into_iter().chain([saved.clone()]).collect());
        for seq in (0..=head.0).map(Seq) {
            prop_assert_eq!(before.at(seq), after.at(seq), "D6");
        }
        prop_assert_eq!(after.at(head.next()), Some(&saved));
    }
}
