//! How much each owner has of something. Whoever has nothing takes no memory.

use std::collections::HashMap;
use std::hash::Hash;

/// See the module.
#[derive(Debug)]
pub(crate) struct Counts<K>(HashMap<K, usize>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Copy> Counts<K> {
    pub(crate) fn of(&self, owner: K) -> usize {
        self.0.get(&owner).copied().unwrap_or_default()
    }

    pub(crate) fn more(&mut self, owner: K, by: usize) {
        *self.0.entry(owner).or_default() += by;
    }

    pub(crate) fn less(&mut self, owner: K, by: usize) {
        let left = self.of(owner).saturating_sub(by);
        if left == 0 {
            self.0.remove(&owner);
        } else {
            self.0.insert(owner, left);
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
