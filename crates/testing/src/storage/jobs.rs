//! The store of jobs and chunks in memory. Counts are not stored, but added up at each read.

use super::{SharedState, refused};
use async_trait::async_trait;
use host_core::{
    model::{
        ArchiveRefused, ChunkRef, Counts, Digest, Job, JobId, JobStatus, ReportEntry, Seal, report::Samples,
    },
    storage::{
        AttemptError, ChunkLease, ChunkOutcome, Claim, Completion, JobSnapshot, Jobs, LedgerScope, Release,
        ShopIndex, ShopRemoval, StoreError, latest_lease_end,
    },
};
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// A job with its chunks.
pub(super) struct JobRecord {
    job: Job,
    /// What ingest recorded when it had published all chunks; `None` before.
    seal: Option<Seal>,
    /// Whether a chunk has been claimed.
    is_started: bool,
    ended_at: Option<Timestamp>,
    error_message: Option<String>,
    last_error: Option<AttemptError>,
    archive_refused: Option<ArchiveRefused>,
    chunks: BTreeMap<u32, ChunkRecord>,
}

struct ChunkRecord {
    chunk: ChunkRef,
    fencing_token: u64,
    attempts: u32,
    redrive_count: u32,
    first_error: Option<AttemptError>,
    /// The end of the lease of the worker that holds it; `None` if none does.
    held_until: Option<Timestamp>,
    /// Set when it is completed.
    outcome: Option<ChunkOutcome>,
}

impl JobRecord {
    fn new(job: Job) -> Self {
        Self {
            job,
            seal: None,
            is_started: false,
            ended_at: None,
            error_message: None,
            last_error: None,
            archive_refused: None,
            chunks: BTreeMap::new(),
        }
    }

    fn outcomes(&self) -> impl Iterator<Item = &ChunkOutcome> {
        self.chunks.values().filter_map(|chunk| chunk.outcome.as_ref())
    }

    fn counts(&self) -> Counts {
        let mut counts = self.seal.as_ref().map_or_else(Counts::default, |seal| seal.ingest_counts);
        self.outcomes().for_each(|outcome| counts += outcome.counts);
        counts
    }

    fn status(&self, counts: &Counts) -> JobStatus {
        match (self.ended_at, &self.seal) {
            (Some(_), Some(_)) => JobStatus::from_final_counts(counts),
            (Some(_), None) => JobStatus::Failed,
            (None, _) if self.is_started => JobStatus::InProgress,
            (None, _) => JobStatus::Pending,
        }
    }

    /// The first report entries of each class, ingest's before those of chunks.
    fn samples(&self) -> Vec<ReportEntry> {
        let of_seal = self.seal.iter().flat_map(|seal| &seal.samples);
        let mut samples: Vec<ReportEntry> = Vec::new();
        for entry in of_seal.chain(self.outcomes().flat_map(|outcome| &outcome.samples)) {
            let is_of_same_class = |kept: &&ReportEntry| kept.class == entry.class;
            if samples.iter().filter(is_of_same_class).count() < Samples::LIMIT {
                samples.push(entry.clone());
            }
        }
        samples
    }

    fn snapshot(&self) -> JobSnapshot {
        let counts = self.counts();
        JobSnapshot {
            job: self.job.clone(),
            status: self.status(&counts),
            seal: self.seal.clone(),
            counts,
            chunks: self.chunks.len() as u32,
            completed_chunks: self.outcomes().count() as u32,
            samples: self.samples(),
            ended_at: self.ended_at,
            error_message: self.error_message.clone(),
            last_error: self.last_error.clone(),
            quarantined: self.quarantined().filter(|_| self.ended_at.is_some()),
            archive_refused: self.archive_refused.clone(),
        }
    }

    /// Why the first quarantined chunk (one that workers could not write) is quarantined.
    fn quarantined(&self) -> Option<String> {
        self.outcomes().find_map(|outcome| outcome.quarantined.as_ref()).map(|reason| reason.message.clone())
    }

    fn end(&mut self, now: Timestamp) {
        self.ended_at = Some(now);
        self.last_error = None;
    }

    /// Ends the job if it is sealed and all chunks are counted. True if it ends now.
    fn end_if_complete(&mut self, now: Timestamp) -> bool {
        let is_complete = self.seal.is_some() && self.outcomes().count() == self.chunks.len();
        let ends = is_complete && self.ended_at.is_none();
        if ends {
            self.end(now);
        }
        ends
    }

    /// Whether chunks of the job may wait: it has not ended, or some of its chunks are not counted.
    fn has_waiting_chunks(&self) -> bool {
        self.ended_at.is_none() || self.outcomes().count() < self.chunks.len()
    }

    fn is_unfinished_ingest(&self) -> bool {
        self.seal.is_none() && self.ended_at.is_none()
    }

    /// Releases all leases; the attempts stay counted.
    pub(super) fn release_orphaned(&mut self) {
        self.chunks.values_mut().for_each(|chunk| chunk.held_until = None);
    }
}

impl ChunkRecord {
    fn new(chunk: ChunkRef) -> Self {
        Self {
            chunk,
            fencing_token: 0,
            attempts: 0,
            redrive_count: 0,
            first_error: None,
            held_until: None,
            outcome: None,
        }
    }

    /// Whether this lease still holds the chunk. An expired lease does, until another worker claims the chunk.
    fn is_held_by(&self, lease: &ChunkLease) -> bool {
        self.outcome.is_none() && self.held_until.is_some() && self.fencing_token == lease.fencing_token
    }

    fn reset_attempts(&mut self) {
        (self.attempts, self.first_error) = (0, None);
    }
}

type Records = BTreeMap<JobId, JobRecord>;

fn chunk_of<'a>(jobs: &'a mut Records, id: &JobId, seq: u32) -> Option<&'a mut ChunkRecord> {
    jobs.get_mut(id)?.chunks.get_mut(&seq)
}

fn job_of<'a>(jobs: &'a mut Records, id: &JobId, action: &str) -> Result<&'a mut JobRecord, StoreError> {
    jobs.get_mut(id).ok_or_else(|| refused(action, format!("there is no job {id}")))
}

#[async_trait]
impl Jobs for SharedState {
    async fn create(&self, job: &Job) -> Result<Job, StoreError> {
        let state = &mut *self.state();
        if let Some(record) = state.jobs.get(&job.id) {
            return Ok(record.job.clone());
        }
        let is_same_index = |record: &&JobRecord| {
            (&record.job.shop_id, &record.job.index_name) == (&job.shop_id, &job.index_name)
        };
        let waiting = state.jobs.values().filter(is_same_index).find(|record| record.has_waiting_chunks());
        let skips_unchanged = job.skips_unchanged && waiting.is_none();
        let lanes = waiting.map(|record| record.job.lanes).filter(|lanes| *lanes > 0).unwrap_or(job.lanes);
        let sequence = state.sequences.entry((job.shop_id.clone(), job.index_name.clone())).or_default();
        *sequence += 1;
        let job = Job { sequence: *sequence, lanes, skips_unchanged, ..job.clone() };
        let index = LedgerScope::of(&job, job.target.clone());
        if !state.indexes.contains(&index) {
            state.indexes.push(index);
        }
        state.jobs.insert(job.id.clone(), JobRecord::new(job.clone()));
        Ok(job)
    }

    async fn find_unfinished(&self, shop_id: &str, fingerprint: Digest) -> Result<Option<Job>, StoreError> {
        let jobs = &self.state().jobs;
        let is_unfinished = |record: &&JobRecord| {
            record.ended_at.is_none()
                && record.job.shop_id == shop_id
                && record.job.fingerprint == fingerprint
        };
        let newest = jobs
            .values()
            .filter(is_unfinished)
            .max_by_key(|record| (record.job.sequence, record.job.created_at));
        Ok(newest.map(|record| record.job.clone()))
    }

    async fn get(&self, id: &JobId) -> Result<Option<JobSnapshot>, StoreError> {
        Ok(self.state().jobs.get(id).map(JobRecord::snapshot))
    }

    async fn has_ended(&self, id: &JobId) -> Result<bool, StoreError> {
        Ok(self.state().jobs.get(id).is_some_and(|record| record.ended_at.is_some()))
    }

    async fn list(&self, shop_id: Option<&str>, limit: usize) -> Result<Vec<JobSnapshot>, StoreError> {
        let jobs = &self.state().jobs;
        let mut found: Vec<&JobRecord> =
            jobs.values().filter(|record| shop_id.is_none_or(|shop| record.job.shop_id == shop)).collect();
        found.sort_by_key(|record| std::cmp::Reverse(record.job.created_at));
        Ok(found.into_iter().take(limit).map(JobRecord::snapshot).collect())
    }

    async fn list_open(&self, shop_id: Option<&str>, limit: usize) -> Result<Vec<JobSnapshot>, StoreError> {
        let jobs = &self.state().jobs;
        let of_shop = jobs.values().filter(|record| shop_id.is_none_or(|shop| record.job.shop_id == shop));
        let mut open: Vec<JobSnapshot> =
            of_shop.map(JobRecord::snapshot).filter(JobSnapshot::is_open).collect();
        open.sort_by(JobSnapshot::by_index);
        open.truncate(limit);
        Ok(open.into_iter().map(|job| JobSnapshot { samples: Vec::new(), ..job }).collect())
    }

    async fn supersede(&self, job: &Job) -> Result<Vec<JobId>, StoreError> {
        let (now, jobs) = (self.clock.now(), &mut self.state().jobs);
        let is_superseded = |record: &&mut JobRecord| {
            record.is_unfinished_ingest()
                && record.job.id != job.id
                && record.job.shop_id == job.shop_id
                && record.job.index_name == job.index_name
        };
        let end = |record: &mut JobRecord| {
            record.error_message = Some(format!("superseded by job {}", job.id));
            record.end(now);
            record.job.id.clone()
        };
        Ok(jobs.values_mut().filter(is_superseded).map(end).collect())
    }

    async fn cancel(&self, id: &JobId, message: &str) -> Result<bool, StoreError> {
        let (now, jobs) = (self.clock.now(), &mut self.state().jobs);
        let Some(record) = jobs.get_mut(id).filter(|record| record.ended_at.is_none()) else {
            return Ok(false);
        };
        record.error_message = Some(message.to_owned());
        if record.is_unfinished_ingest() {
            record.end(now);
        }
        Ok(true)
    }

    async fn record_error(&self, id: &JobId, error: &AttemptError) -> Result<(), StoreError> {
        let jobs = &mut self.state().jobs;
        if let Some(record) = jobs.get_mut(id).filter(|record| record.ended_at.is_none()) {
            record.last_error = Some(error.clone());
        }
        Ok(())
    }

    async fn record_archiving(&self, id: &JobId, refused: Option<&ArchiveRefused>) -> Result<(), StoreError> {
        if let Some(record) = self.state().jobs.get_mut(id) {
            record.archive_refused = refused.cloned();
        }
        Ok(())
    }

    async fn chunk(&self, id: &JobId, seq: u32) -> Result<Option<ChunkRef>, StoreError> {
        Ok(chunk_of(&mut self.state().jobs, id, seq).map(|record| record.chunk.clone()))
    }

    async fn uncounted(&self, id: &JobId, limit: usize) -> Result<Vec<ChunkRef>, StoreError> {
        let state = self.state();
        let chunks = state.jobs.get(id).into_iter().flat_map(|record| record.chunks.values());
        let open = chunks.filter(|chunk| chunk.outcome.is_none());
        Ok(open.take(limit).map(|chunk| chunk.chunk.clone()).collect())
    }

    async fn add_chunk(&self, chunk: &ChunkRef) -> Result<(), StoreError> {
        let (action, jobs) = ("adding a chunk", &mut self.state().jobs);
        let record = job_of(jobs, &chunk.job_id, action)?;
        if record.chunks.contains_key(&chunk.seq) {
            return Ok(());
        }
        if !record.is_unfinished_ingest() {
            return Err(refused(action, format!("job {} is sealed or ended", chunk.job_id)));
        }
        record.chunks.insert(chunk.seq, ChunkRecord::new(chunk.clone()));
        Ok(())
    }

    async fn seal(&self, id: &JobId, seal: &Seal) -> Result<(), StoreError> {
        let (action, now, jobs) = ("sealing a job", self.clock.now(), &mut self.state().jobs);
        let record = job_of(jobs, id, action)?;
        if record.seal.is_some() {
            return Ok(());
        }
        if record.ended_at.is_some() {
            return Err(refused(action, format!("job {id} was superseded or cancelled")));
        }
        let chunks = record.chunks.len();
        if chunks != seal.chunks as usize {
            let reason = format!("job {id} has {chunks} chunks, its seal names {}", seal.chunks);
            return Err(refused(action, reason));
        }
        record.seal = Some(seal.clone());
        record.end_if_complete(now);
        Ok(())
    }

    async fn claim(&self, id: &JobId, seq: u32, duration: Duration) -> Result<Claim, StoreError> {
        let (now, jobs) = (self.clock.now(), &mut self.state().jobs);
        let Some(chunk) = chunk_of(jobs, id, seq) else { return Ok(Claim::Unknown) };
        if let Some(outcome) = &chunk.outcome {
            return Ok(Claim::Done { quarantined: outcome.quarantined.clone() });
        }
        let latest = latest_lease_end(now, duration);
        if let Some(until) = chunk.held_until.filter(|until| *until > now && *until <= latest) {
            return Ok(Claim::Held { until });
        }
        chunk.fencing_token += 1;
        chunk.attempts += 1;
        chunk.held_until = Some(now + duration);
        let lease = ChunkLease {
            job_id: id.clone(),
            seq,
            fencing_token: chunk.fencing_token,
            attempts: chunk.attempts,
            redrive_count: chunk.redrive_count,
            first_error: chunk.first_error.clone(),
        };
        if let Some(record) = jobs.get_mut(id) {
            record.is_started = true;
        }
        Ok(Claim::Acquired(lease))
    }

    async fn renew(&self, lease: &ChunkLease, duration: Duration) -> Result<bool, StoreError> {
        let (now, jobs) = (self.clock.now(), &mut self.state().jobs);
        let chunk = chunk_of(jobs, &lease.job_id, lease.seq).filter(|chunk| chunk.is_held_by(lease));
        Ok(chunk.map(|chunk| chunk.held_until = Some(now + duration)).is_some())
    }

    async fn release(&self, lease: &ChunkLease, release: Release<'_>) -> Result<bool, StoreError> {
        let jobs = &mut self.state().jobs;
        let Some(chunk) = chunk_of(jobs, &lease.job_id, lease.seq) else { return Ok(false) };
        if !chunk.is_held_by(lease) {
            // True if this lease was released before and the chunk was not claimed since.
            return Ok(chunk.outcome.is_none() && chunk.fencing_token == lease.fencing_token);
        }
        chunk.held_until = None;
        match release {
            Release::CountAttempt(Some(error)) => {
                chunk.first_error.get_or_insert_with(|| error.clone());
            }
            Release::CountAttempt(None) => {}
            Release::ResetAttempts => chunk.reset_attempts(),
        }
        Ok(true)
    }

    async fn complete(&self, lease: &ChunkLease, outcome: &ChunkOutcome) -> Result<Completion, StoreError> {
        let (now, jobs) = (self.clock.now(), &mut self.state().jobs);
        let Some(chunk) = chunk_of(jobs, &lease.job_id, lease.seq) else { return Ok(Completion::LeaseLost) };
        if chunk.outcome.is_some() && chunk.fencing_token == lease.fencing_token {
            return Ok(Completion::Counted);
        }
        if !chunk.is_held_by(lease) {
            return Ok(Completion::LeaseLost);
        }
        (chunk.held_until, chunk.outcome) = (None, Some(outcome.clone()));
        let ends = jobs.get_mut(&lease.job_id).is_some_and(|record| record.end_if_complete(now));
        Ok(if ends { Completion::JobEnded } else { Completion::Counted })
    }

    async fn redrive(&self, id: &JobId, seq: u32, redrive_count: u32) -> Result<Option<u32>, StoreError> {
        let jobs = &mut self.state().jobs;
        let Some(chunk) = chunk_of(jobs, id, seq) else { return Ok(None) };
        let Some(outcome) = &chunk.outcome else { return Ok(Some(chunk.redrive_count)) };
        if outcome.quarantined.is_none() || chunk.redrive_count != redrive_count {
            return Ok(None);
        }
        chunk.outcome = None;
        chunk.reset_attempts();
        chunk.redrive_count += 1;
        // The lease of an earlier holder is void.
        chunk.fencing_token += 1;
        let next = chunk.redrive_count;
        // A job that ended without a seal never ends by counting, and stays ended.
        if let Some(record) = jobs.get_mut(id).filter(|record| record.seal.is_some()) {
            (record.ended_at, record.error_message) = (None, None);
        }
        Ok(Some(next))
    }

    async fn reports(&self, id: &JobId) -> Result<Vec<String>, StoreError> {
        let jobs = &self.state().jobs;
        let Some(record) = jobs.get(id) else { return Ok(Vec::new()) };
        let of_seal = record.seal.iter().flat_map(|seal| seal.reports.clone());
        Ok(of_seal.chain(record.outcomes().filter_map(|outcome| outcome.report.clone())).collect())
    }

    async fn indexes(&self, shop_id: &str) -> Result<Vec<ShopIndex>, StoreError> {
        Ok(ShopIndex::of_shop(shop_id, &self.state().indexes))
    }

    async fn shop_removal(&self, shop_id: &str) -> Result<Option<ShopRemoval>, StoreError> {
        Ok(self.state().shop_removals.get(&ShopRemoval::key(shop_id)).cloned())
    }

    async fn put_shop_removal(&self, shop_id: &str, removal: &ShopRemoval) -> Result<(), StoreError> {
        self.state().shop_removals.insert(ShopRemoval::key(shop_id), removal.clone());
        Ok(())
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        let state = &mut *self.state();
        let jobs = &mut state.jobs;
        let found = jobs.values().filter(|record| record.job.shop_id == shop_id).count();
        if !dry_run {
            jobs.retain(|_, record| record.job.shop_id != shop_id);
            state.sequences.retain(|(of_shop, _), _| of_shop != shop_id);
            state.indexes.retain(|index| index.shop_id != shop_id);
        }
        Ok(found as u64)
    }
}
