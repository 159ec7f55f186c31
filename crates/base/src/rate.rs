//! The request limit per key, or per person: a bucket that holds a minute's worth and may be emptied at once.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

/// Buckets that are kept before full ones are thrown away.
const KEPT: usize = 4096;
const MINUTE: Duration = Duration::from_mins(1);

/// What is left to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests a minute.
    pub limit: u32,
    /// Requests that are possible at once.
    pub remaining: u32,
    /// Seconds until all of them are possible again.
    pub reset: u64,
    /// Seconds to wait, where this request was one too many.
    pub retry_after: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// The buckets of all keys.
#[derive(Debug)]
pub struct RateLimiter {
    per_minute: u32,
    buckets: Mutex<HashMap<Uuid, Bucket>>,
}

impl RateLimiter {
    /// `per_minute` requests for each key.
    pub fn new(per_minute: NonZeroU32) -> Self {
        Self { per_minute: per_minute.get(), buckets: Mutex::default() }
    }

    /// Takes one request from the key's bucket, if there is one in it.
    pub fn take(&self, key: Uuid, now: Instant) -> Allowance {
        let capacity = f64::from(self.per_minute);
        let rate = capacity / MINUTE.as_secs_f64();
        let mut buckets = self.buckets.lock();
        if buckets.len() >= KEPT {
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.filled) < MINUTE);
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: capacity, filled: now });
        let elapsed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + elapsed * rate).min(capacity);
        bucket.filled = now;
        let granted = bucket.tokens >= 1.0;
        if granted {
            bucket.tokens -= 1.0;
        }
        Allowance {
            limit: self.per_minute,
            remaining: whole(bucket.tokens.floor()),
            reset: u64::from(whole(((capacity - bucket.tokens) / rate).ceil())),
            retry_after: (!granted).then(|| u64::from(whole(((1.0 - bucket.tokens) / rate).ceil()).max(1))),
        }
    }
}

/// A small number that is whole and not negative already.
fn whole(n: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and so is meant"
    )]
    let n = n as u32;
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(per_minute: u32) -> RateLimiter {
        RateLimiter::new(NonZeroU32::new(per_minute).unwrap())
    }

    #[test]
    fn a_minutes_worth_may_be_spent_at_once_and_comes_back_evenly() {
        let (limiter, key, start) = (limiter(600), Uuid::nil(), Instant::now());
        for left in (0..600).rev() {
            let allowance = limiter.take(key, start);
            assert_eq!((allowance.remaining, allowance.retry_after), (left, None));
        }
        let refused = limiter.take(key, start);
        assert_eq!((refused.remaining, refused.retry_after, refused.reset), (0, Some(1), 60));
        let other = limiter.take(Uuid::max(), start);
        assert_eq!(other.remaining, 599);
        let later = start + Duration::from_secs(1);
        assert_eq!(limiter.take(key, later).remaining, 9);
        assert_eq!(limiter.take(key, later + MINUTE).remaining, 599);
    }

    #[test]
    fn buckets_of_keys_that_went_quiet_are_thrown_away() {
        let (limiter, start) = (limiter(60), Instant::now());
        for n in 0..KEPT {
            limiter.take(Uuid::from_u128(n as u128), start);
        }
        limiter.take(Uuid::max(), start + MINUTE);
        assert_eq!(limiter.buckets.lock().len(), 1);
    }
}
