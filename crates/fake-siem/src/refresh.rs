//! What was taken in is not found at once: a real product refreshes its index now and then. Here by the number of searches, so that no test
//! depends on time.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many searches still see nothing.
#[derive(Debug, Default)]
pub(crate) struct Refresh(AtomicU32);

impl Refresh {
    /// As many searches from now on see nothing.
    pub(crate) fn hide(&self, searches: u32) {
        self.0.store(searches, Ordering::SeqCst);
    }

    /// Whether the search that is made now sees what there is.
    pub(crate) fn is_over(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_searches_see_nothing() {
        let refresh = Refresh::default();
        assert!(refresh.is_over());
        refresh.hide(2);
        assert_eq!([refresh.is_over(), refresh.is_over(), refresh.is_over()], [false, false, true]);
    }
}
