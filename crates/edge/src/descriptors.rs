//! File descriptors: each connection needs one, and so does everything that the service does beside answering. Without one left, nothing
//! is delivered and nothing stored, so the places for connections leave a reserve.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for the store and for connections to SIEMs, at least.
const RESERVE: u64 = 128;

/// Raises the soft limit to the hard one; how many descriptors the process may have from then on.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Where it cannot be raised, what there is has to do.
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
        return maximum.unwrap_or(u64::MAX);
    }
    current.unwrap_or(u64::MAX)
}

/// Places for connections where `wanted` are configured and the process may have `descriptors`: a quarter of these, and never less than
/// the reserve, is left for everything else.
pub fn places(wanted: usize, descriptors: u64) -> usize {
    let reserve = (descriptors / 4).max(RESERVE);
    let left = descriptors.saturating_sub(reserve).max(16);
    usize::try_from(left).unwrap_or(usize::MAX).min(wanted).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_comes_first() {
        assert_eq!(places(4096, 65_536), 4096);
        assert_eq!(places(4096, 1024), 768);
        assert_eq!(places(4096, 256), 128);
        assert_eq!(places(4096, 64), 16, "there is no use in a service that takes nothing in");
        assert_eq!(places(10, u64::MAX), 10);
        let limit = raise();
        assert_eq!(raise(), limit);
    }
}
