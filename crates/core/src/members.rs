//! Which events a delivery holds: a range of sequences where they are dense, a list where they are not.

use serde::{Deserialize, Serialize};

use crate::ids::Seq;

/// The sequences of a delivery's events, ascending, without duplicates. Kept as runs `(first, count)`, so that a full batch from an
/// unfiltered stream costs one pair however large it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Members(Vec<(u64, u32)>);

impl Members {
    /// The members of an ascending list of sequences.
    pub fn from_ascending(seqs: impl IntoIterator<Item = Seq>) -> Self {
        let mut runs: Vec<(u64, u32)> = Vec::new();
        for Seq(seq) in seqs {
            match runs.last_mut() {
                Some((first, count)) if *first + u64::from(*count) == seq => *count += 1,
                last => {
                    debug_assert!(last.is_none_or(|(first, count)| *first + u64::from(*count) < seq), "ascending");
                    runs.push((seq, 1));
                }
            }
        }
        Self(runs)
    }

    /// The members of ascending, disjoint runs of a first sequence and a count, as [`Self::runs`] gives them. Neighbouring runs are
    /// joined, empty ones left out.
    pub fn from_runs(runs: impl IntoIterator<Item = (u64, u32)>) -> Self {
        let mut joined: Vec<(u64, u32)> = Vec::new();
        for (first, count) in runs.into_iter().filter(|(_, count)| *count > 0) {
            match joined.last_mut() {
                Some((start, events))
                    if *start + u64::from(*events) == first && events.checked_add(count).is_some() =>
                {
                    *events += count;
                }
                _ => joined.push((first, count)),
            }
        }
        Self(joined)
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.0.iter().map(|(_, count)| *count as usize).sum()
    }

    /// Whether there are none (a test delivery carries its own payload instead).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lowest sequence.
    pub fn first(&self) -> Option<Seq> {
        self.0.first().map(|(first, _)| Seq(*first))
    }

    /// The highest sequence.
    pub fn last(&self) -> Option<Seq> {
        self.0.last().map(|(first, count)| Seq(first + u64::from(*count) - 1))
    }

    /// All sequences, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Seq> + '_ {
        self.0.iter().flat_map(|(first, count)| (*first..first + u64::from(*count)).map(Seq))
    }

    /// The runs `(first, count)`, ascending.
    pub fn runs(&self) -> &[(u64, u32)] {
        &self.0
    }

    /// Whether `seq` is one of them.
    pub fn contains(&self, seq: Seq) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= seq.0);
        after > 0 && seq.0 < self.0[after - 1].0 + u64::from(self.0[after - 1].1)
    }

    /// The members at positions `from..to` of the batch (for children of a partial reply or a split).
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> Self {
        Self::from_ascending(self.iter().skip(from).take(to.saturating_sub(from)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn hold_exactly_what_they_were_made_of(set in proptest::collection::btree_set(0u64..500, 0..80), cut in 0usize..80) {
            let seqs: Vec<Seq> = set.iter().map(|s| Seq(*s)).collect();
            let members = Members::from_ascending(seqs.iter().copied());
            prop_assert_eq!(members.iter().collect::<Vec<_>>(), seqs.clone());
            prop_assert_eq!(Members::from_runs(members.runs().iter().copied()), members.clone());
            prop_assert_eq!(Members::from_runs(seqs.iter().map(|s| (s.0, 1))), members.clone());
            prop_assert_eq!(members.len(), seqs.len());
            prop_assert_eq!(members.first(), seqs.first().copied());
            prop_assert_eq!(members.last(), seqs.last().copied());
            for probe in 0..500 {
                prop_assert_eq!(members.contains(Seq(probe)), set.contains(&probe));
            }
            let cut = cut.min(seqs.len());
            let (head, tail) = (members.slice(0, cut), members.slice(cut, seqs.len()));
            prop_assert_eq!(head.iter().chain(tail.iter()).collect::<Vec<_>>(), seqs);
        }
    }
}
