//! What happened in schedules, counted: a simulation in which something never happens proves nothing of it.

use std::collections::BTreeMap;

/// What happens to a shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A full sync removed a document that it did not have.
    Archived,
    /// A process that ingested died before the seal.
    IngestCrashed,
    /// An ingest went on where a crashed one had stopped.
    IngestResumed,
    /// A job ended because the next one began.
    JobSuperseded,
    /// A process that ingests had a clock that was ahead, or behind.
    IngestAhead,
    IngestBehind,
    /// The clock of a process that ingests jumped meanwhile.
    IngestJumped,
    /// A product was skipped because the ledger had it.
    Unchanged,
    /// A plug-in refused a product.
    Refused,
    /// Refused products of an earlier job were sent to a corrected plug-in.
    Replayed,
    /// The number of lanes was another than before.
    LanesChanged,
    /// It stayed, because chunks waited.
    LanesPinned,
    WorkerCrashed,
    /// The clock of a worker jumped forward, or back.
    WorkerAhead,
    WorkerBehind,
    /// Work on the index stopped, and went on.
    BreakerOpened,
    DeadLettered,
    Redriven,
    /// A job was removed with age.
    Expired,
    /// Two full syncs were a year apart, with all removed in between that may be.
    YearApart,
    /// Records of the ledger were lost, or those of an earlier time came back.
    LedgerLost,
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

    /// The events that happened less often.
    pub(crate) fn rarer_than(&self, least: u64) -> Vec<Event> {
        let times = |event: &Event| self.0.get(event).copied().unwrap_or_default();
        Event::ALL.into_iter().filter(|event| times(event) < least).collect()
    }
}
