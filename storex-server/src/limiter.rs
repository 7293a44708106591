//! [`Limiter`]: how many requests somebody may make.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use storex_core::Timestamp;

use crate::user::User;

/// So many are remembered before those are forgotten that may make all their requests again.
const REMEMBERED: usize = 10_000;

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    User(User),
    /// Whoever has no credential, where none is needed.
    Address(IpAddr),
}

/// A token bucket for each.
#[derive(Debug)]
pub(crate) struct Limiter {
    buckets: Mutex<HashMap<Who, Bucket>>,
    /// What comes back per millisecond, in thousandths of a request: the requests per second.
    per_millisecond: u64,
    /// In thousandths of a request.
    most: u64,
}

#[derive(Debug)]
struct Bucket {
    left: u64,
    at: Timestamp,
}

impl Limiter {
    /// So many requests in the long run, and at once after a rest.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let most = u64::from(burst) * 1000;
        let per_millisecond = u64::from(per_second);
        Self { buckets: Mutex::new(HashMap::new()), per_millisecond, most }
    }

    /// Takes one request, or tells when there will be one.
    pub(crate) fn take(&self, who: Who, now: Timestamp) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED {
            buckets.retain(|_, bucket| self.refilled(bucket, now) < self.most);
        }
        let bucket = buckets.entry(who).or_insert(Bucket { left: self.most, at: now });
        *bucket = Bucket { left: self.refilled(bucket, now), at: now };
        match bucket.left.checked_sub(1000) {
            Some(left) => {
                bucket.left = left;
                Ok(())
            }
            None => {
                let lacking = 1000 - bucket.left;
                Err(Duration::from_millis(lacking.div_ceil(self.per_millisecond.max(1))))
            }
        }
    }

    /// A clock that was put back gives nothing, and takes nothing.
    fn refilled(&self, bucket: &Bucket, now: Timestamp) -> u64 {
        let passed = u64::try_from(now.0.saturating_sub(bucket.at.0)).unwrap_or(0);
        bucket.left.saturating_add(passed.saturating_mul(self.per_millisecond)).min(self.most)
    }
}
