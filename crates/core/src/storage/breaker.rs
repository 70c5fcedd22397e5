//! Circuit breakers: stored records that stop the work of all workers on an index of a shop, because every chunk (some
//! of a job's documents) would fail there until the cause is fixed. From time to time one chunk is tried, a *probe*: if
//! it is written, the breaker closes.

use super::{StoreError, async_trait};
use crate::{
    backoff::Backoff,
    model::{ChunkRef, JobId},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which breaker: work stops on one index of one shop as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BreakerScope {
    /// The shop.
    pub shop_id: String,
    /// Name of the index.
    pub index_name: String,
}

impl std::fmt::Display for BreakerScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "index {} of {}", self.index_name, self.shop_id)
    }
}

/// An open circuit breaker: why no chunk of an index is processed, and when one is tried again. A closed breaker has no
/// such record; the one that was closed last is remembered with `cleared` set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// What it stops.
    #[serde(flatten)]
    pub scope: BreakerScope,
    /// Stable kebab-case name of the last failure.
    pub code: String,
    /// The last failure in the server's words, with the chain of causes.
    pub message: String,
    /// When it opened.
    pub since: Timestamp,
    /// Probes that have begun since then.
    pub probes: u32,
    /// When the next chunk may be tried.
    pub next_probe_at: Timestamp,
    /// Whether a chunk is being tried now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_probing: bool,
    /// The job of the chunk at which it opened.
    pub job_id: JobId,
    /// The number of that chunk in its job, from 0.
    pub chunk: u32,
    /// What closed it, and when; `None` while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared: Option<Cleared>,
}

/// What closed a circuit breaker, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    /// What closed it.
    pub by: ClearedBy,
    /// When it was closed.
    pub at: Timestamp,
}

/// What closes a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClearedBy {
    /// A chunk that was tried was written.
    #[serde(rename = "probe")]
    Probe,
    /// The command `host resume`.
    #[serde(rename = "host resume")]
    Resume,
    /// New settings of the index.
    #[serde(rename = "host settings put")]
    Settings,
}

impl ClearedBy {
    /// Its name in records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Resume => "host resume",
            Self::Settings => "host settings put",
        }
    }
}

/// Time between probes. A cause that is fixed is noticed within a minute (queues and event sources take some seconds of
/// it), at the cost of one request a minute.
const INTERVAL: Backoff = Backoff { base: Duration::from_secs(15), cap: Duration::from_secs(55) };
/// How long probes are that frequent. A message is delivered once per probe that its chunk waits for, and SQS allows
/// 1,000 deliveries before it moves the message to the dead letters.
const FREQUENT_FOR: Duration = Duration::from_secs(12 * 3_600);
/// Time between probes after that.
const MAX_INTERVAL: Duration = Duration::from_secs(600);
/// How long other workers wait for the end of a probe before one of them may probe in its place.
const PROBE_TIMEOUT: Duration = INTERVAL.cap;
/// How long a breaker is remembered after it was closed: 30 days.
pub const CLEARED_RETENTION: Duration = Duration::from_secs(30 * 86_400);
/// Probes that must have begun before a breaker expires: otherwise one that opened long ago, and that no worker has
/// probed since, would expire at once.
const MIN_PROBES: u32 = 10;

impl Breaker {
    /// The breaker that the failure of a chunk opens; the failure is its code and message.
    pub fn opened(
        scope: BreakerScope,
        chunk: &ChunkRef,
        (code, message): (&str, String),
        now: Timestamp,
    ) -> Self {
        Self {
            scope,
            code: code.to_owned(),
            message,
            since: now,
            probes: 0,
            next_probe_at: after(now, INTERVAL.base),
            is_probing: false,
            job_id: chunk.job_id.clone(),
            chunk: chunk.seq,
            cleared: None,
        }
    }

    /// The record by which a breaker that is closed now is remembered.
    #[must_use]
    pub fn cleared(&self, cleared: Cleared) -> Self {
        Self { cleared: Some(cleared), is_probing: false, ..self.clone() }
    }

    /// Whether a chunk may be tried now; also if the stored time is further away than any wait, because then a clock
    /// that is ahead wrote it.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next_probe_at <= now || self.next_probe_at > after(now, 2 * MAX_INTERVAL)
    }

    /// How long a chunk that may not be tried yet has to wait: from 1 s to 10 minutes.
    pub fn wait(&self, now: Timestamp) -> Duration {
        let wait = Duration::try_from(now.duration_until(self.next_probe_at)).unwrap_or_default();
        wait.clamp(Duration::from_secs(1), MAX_INTERVAL)
    }

    /// The breaker while a probe runs that began `now`.
    #[must_use]
    pub fn probing(&self, now: Timestamp) -> Self {
        let probes = self.probes.saturating_add(1);
        let probing = Self { probes, is_probing: true, ..self.clone() };
        Self { next_probe_at: after(now, probing.interval(now).max(PROBE_TIMEOUT)), ..probing }
    }

    /// The breaker after the failure (code and message) of a probe that began at `began`.
    #[must_use]
    pub fn probe_failed(&self, (code, message): (&str, String), began: Timestamp, now: Timestamp) -> Self {
        // A probe that took long is not repeated immediately.
        let next_probe_at = after(began, self.interval(now)).max(after(now, INTERVAL.base));
        Self { code: code.to_owned(), message, next_probe_at, is_probing: false, ..self.clone() }
    }

    /// Whether it has been open for `stopped_after`, and was probed often enough, so that chunks no longer wait. False
    /// while a chunk is being tried or may be tried: the cause may have been fixed since the last one failed.
    pub fn has_expired(&self, stopped_after: Duration, now: Timestamp) -> bool {
        let is_known_to_fail = !self.is_probing && !self.is_due(now);
        is_known_to_fail && self.probes >= MIN_PROBES && now >= self.expires_at(stopped_after)
    }

    /// When chunks stop waiting for it, or shortly after: at the next failed probe.
    pub fn expires_at(&self, stopped_after: Duration) -> Timestamp {
        after(self.since, stopped_after)
    }

    /// Time from one probe to the next.
    fn interval(&self, now: Timestamp) -> Duration {
        if now < after(self.since, FREQUENT_FOR) { INTERVAL.ceiling(self.probes + 1) } else { MAX_INTERVAL }
    }
}

fn after(at: Timestamp, duration: Duration) -> Timestamp {
    at.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

/// The port to stored circuit breakers: the open ones of all shops, which are few, and, apart from these, the one of
/// each index that was closed last.
///
/// An error does not tell whether the call took effect. All calls may be cancelled, with the same effect as an error.
#[async_trait]
pub trait Breakers: Send + Sync {
    /// The open breaker of this scope; `None` if it is closed. Reads only.
    async fn get(&self, scope: &BreakerScope) -> Result<Option<Breaker>, StoreError>;

    /// Stores a breaker if the stored one is still `expected`, judged by `since` and `probes`; `None` expects it to be
    /// closed. False if another worker was faster, and then nothing changes. Not idempotent: of several calls that
    /// expect the same, one succeeds, so that one worker probes.
    async fn replace(&self, expected: Option<&Breaker>, breaker: &Breaker) -> Result<bool, StoreError>;

    /// Closes the breaker, and returns it as it was; `None` if it was closed already. It is remembered as the one of
    /// its scope that was closed last, best effort: after an error or a crash it may be closed without being
    /// remembered.
    async fn close(&self, scope: &BreakerScope, cleared: Cleared) -> Result<Option<Breaker>, StoreError>;

    /// The open breakers of a shop, or of all shops, by shop and index. Reads only.
    async fn list(&self, shop_id: Option<&str>) -> Result<Vec<Breaker>, StoreError>;

    /// For each index of a shop, in their order, the breaker that was closed last, for at least [`CLEARED_RETENTION`].
    /// Reads only.
    async fn last_cleared(&self, shop_id: &str) -> Result<Vec<Breaker>, StoreError>;

    /// Removes all breakers of a shop, open or closed. Idempotent: after an error or when cancelled, some are removed,
    /// and the next call removes the rest.
    async fn remove_shop(&self, shop_id: &str) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Operation};

    const SECOND: Duration = Duration::from_secs(1);

    fn opened() -> Breaker {
        let scope = BreakerScope { shop_id: "s".into(), index_name: "i".into() };
        let chunk = ChunkRef {
            job_id: JobId::new("job").unwrap(),
            seq: 3,
            lane: 0,
            operation: Operation::AddDocuments,
            key: "key".into(),
            sha256: Digest::of(b""),
            documents: 1,
            bytes: 1,
        };
        Breaker::opened(scope, &chunk, ("index-refused", "no".into()), Timestamp::UNIX_EPOCH)
    }

    /// The waits between failed probes that take no time, in seconds.
    fn intervals(mut breaker: Breaker, probes: usize) -> Vec<u64> {
        let mut intervals = Vec::new();
        for _ in 0..probes {
            let now = breaker.next_probe_at;
            breaker = breaker.probing(now).probe_failed(("c", "m".into()), now, now);
            intervals.push(now.duration_until(breaker.next_probe_at).as_secs().unsigned_abs());
        }
        intervals
    }

    #[test]
    fn the_interval_doubles_to_almost_a_minute_and_is_ten_minutes_after_half_a_day() {
        assert_eq!(opened().wait(Timestamp::UNIX_EPOCH), 15 * SECOND);
        let intervals = intervals(opened(), 900);
        assert_eq!(intervals[..4], [30, 55, 55, 55]);
        assert_eq!(intervals[899], 600);
        // 900 probes, fewer than the 1,000 deliveries that SQS allows, last for longer than a day.
        assert!(intervals.iter().sum::<u64>() > 24 * 3_600);
    }

    #[test]
    fn one_probe_is_under_way_at_a_time() {
        let breaker = opened();
        let now = breaker.next_probe_at;
        assert!(breaker.is_due(now) && !breaker.is_due(now - SECOND));
        let probing = breaker.probing(now);
        assert!(!probing.is_due(now + 54 * SECOND) && probing.is_due(now + 55 * SECOND));
        // A probe that took long is not repeated immediately.
        let failed = probing.probe_failed(("c", "m".into()), now, now + 100 * SECOND);
        assert_eq!(failed.wait(now + 100 * SECOND), 15 * SECOND);
    }

    #[test]
    fn a_wait_is_never_zero_and_a_clock_that_is_ahead_does_not_make_it_a_day() {
        let breaker = opened();
        assert_eq!(breaker.wait(breaker.next_probe_at), SECOND);
        let ahead = Breaker { next_probe_at: Timestamp::UNIX_EPOCH + 86_400 * SECOND, ..breaker };
        assert!(ahead.is_due(Timestamp::UNIX_EPOCH));
        assert_eq!(ahead.wait(Timestamp::UNIX_EPOCH), MAX_INTERVAL);
    }

    #[test]
    fn a_breaker_expires_after_its_time_and_enough_probes() {
        let (day, late) = (86_400 * SECOND, Timestamp::UNIX_EPOCH + 86_400 * SECOND);
        let next_probe_at = late + 10 * SECOND;
        let probed = Breaker { probes: MIN_PROBES, next_probe_at, ..opened() };
        assert!(probed.has_expired(day, late) && !probed.has_expired(day, late - SECOND));
        assert!(
            !Breaker { probes: MIN_PROBES - 1, ..probed.clone() }.has_expired(day, late),
            "no worker ran meanwhile"
        );
        assert!(!probed.has_expired(day, next_probe_at), "its cause may be gone");
        assert!(!probed.probing(late).has_expired(day, late), "a chunk is tried");
    }

    #[test]
    fn the_stored_form_does_not_change() {
        let stored = serde_json::to_value(opened()).unwrap();
        let expected = serde_json::json!({
            "shop_id": "s", "index_name": "i", "code": "index-refused", "message": "no", "since": "1970-01-01T00:00:00Z",
            "probes": 0, "next_probe_at": "1970-01-01T00:00:15Z", "job_id": "job", "chunk": 3,
        });
        assert_eq!(stored, expected);
        assert_eq!(serde_json::from_value::<Breaker>(stored).unwrap(), opened());
        let at = Timestamp::UNIX_EPOCH;
        for by in [ClearedBy::Probe, ClearedBy::Resume, ClearedBy::Settings] {
            let stored = serde_json::to_value(opened().cleared(Cleared { by, at })).unwrap();
            assert_eq!(
                stored["cleared"],
                serde_json::json!({ "by": by.as_str(), "at": "1970-01-01T00:00:00Z" })
            );
        }
    }
}
