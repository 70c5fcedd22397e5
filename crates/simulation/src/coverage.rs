//! Counts what happened in the schedules of a simulation: one in which a kind of event never happens proves nothing
//! about it.

use std::collections::BTreeMap;

/// A kind of event in a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A full sync removed a document that it did not have.
    Archived,
    /// An ingesting process crashed before it sealed the job (after which no chunk follows).
    IngestCrashed,
    /// An ingest resumed the job of a crashed one.
    IngestResumed,
    /// A job that a crashed ingest had left ended because another job of the index began.
    JobSuperseded,
    /// An ingesting process had a clock that was ahead.
    IngestAhead,
    /// An ingesting process had a clock that was behind.
    IngestBehind,
    /// The clock of a process was to jump while it ingested.
    IngestJumped,
    /// A product was skipped because the ledger had it unchanged.
    Unchanged,
    /// A plug-in refused a product.
    Refused,
    /// Refused products of an earlier job were sent to a corrected plug-in.
    Replayed,
    /// A job had another number of lanes than the one before.
    LanesChanged,
    /// A job got the number of lanes of the jobs before it, because chunks of these waited.
    LanesPinned,
    /// A worker crashed, and another one started.
    WorkerCrashed,
    /// The clock of a worker jumped forward.
    WorkerAhead,
    /// The clock of a worker jumped back.
    WorkerBehind,
    /// A circuit breaker opened: work on the index was stopped.
    BreakerOpened,
    /// A chunk's message was found among the dead letters.
    DeadLettered,
    /// A dead letter was sent again.
    Redriven,
    /// An old job was removed.
    Expired,
    /// Two full syncs were a year apart, and everything that may be removed in between was.
    YearApart,
    /// Records of the ledger were lost.
    LedgerLost,
    /// The ledger was replaced by its records of an earlier time.
    LedgerStale,
}

impl Event {
    const ALL: [Self; 22] = [
        Self::Archived,
        Self::IngestCrashed,
        Self::IngestResumed,
        Self::JobSuperseded,
        Self::IngestAhead,
        Self::IngestBehind,
        Self::IngestJumped,
        Self::Unchanged,
        Self::Refused,
        Self::Replayed,
        Self::LanesChanged,
        Self::LanesPinned,
        Self::WorkerCrashed,
        Self::WorkerAhead,
        Self::WorkerBehind,
        Self::BreakerOpened,
        Self::DeadLettered,
        Self::Redriven,
        Self::Expired,
        Self::YearApart,
        Self::LedgerLost,
        Self::LedgerStale,
    ];
}

/// How often each event happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Coverage(BTreeMap<Event, u64>);

impl Coverage {
    pub(crate) fn add(&mut self, event: Event, times: u64) {
        *self.0.entry(event).or_default() += times;
    }

    pub(crate) fn add_if(&mut self, event: Event, happened: bool) {
        self.add(event, happened.into());
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        other.0.iter().for_each(|(event, times)| self.add(*event, *times));
    }

    /// The events that happened fewer than `least` times.
    pub(crate) fn rarer_than(&self, least: u64) -> Vec<Event> {
        let times = |event: &Event| self.0.get(event).copied().unwrap_or_default();
        Event::ALL.into_iter().filter(|event| times(event) < least).collect()
    }
}
