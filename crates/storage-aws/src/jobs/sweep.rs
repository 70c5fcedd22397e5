//! The part of the recovery sweep that reads the table of jobs: it finds chunks and jobs that crashed processes have
//! left, and completes what it can. `src/sweep.rs` sends the messages.

use super::{
    DynamoJobs, after, completion::is_full, end::full, from_envelope, micros, name, of_existing,
    redrive::redrive_count_of, schema, state,
};
use crate::table::{Condition, Item, Key, TableError, Update, Updated};
use host_core::{
    model::{ChunkRef, Job, JobId},
    storage::{StoreError, latest_lease_end},
};
use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

/// Most chunk rows of a job that a sweep reads. The chunks of a lane are worked in order, so one that is stuck is among
/// the first that are not counted.
const MAX_ROWS: usize = 1000;

/// A job that may need repair.
pub(crate) struct OpenJob {
    pub(crate) job: Job,
    /// Whether an ingest may still add chunks.
    pub(crate) is_unsealed: bool,
    /// Chunks that are not counted.
    pub(crate) uncounted_chunks: u64,
}

/// What the sweep of one job has found.
#[derive(Default)]
pub(crate) struct SweepResult {
    /// Chunks whose messages are to be sent, with these redrive counts.
    pub(crate) to_send: Vec<(ChunkRef, u32)>,
    /// Number of chunks whose completion was interrupted and is finished now.
    pub(crate) completed: u32,
    /// Whether the job has ended by that.
    pub(crate) has_ended: bool,
}

impl DynamoJobs {
    /// Acquires the sweep lease for `interval`. Returns whether it was acquired; only then may the caller sweep.
    pub(crate) async fn begin_sweep(&self, interval: Duration) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let begin = Update::new(Key::new("SWEEP", "LEASE"))
            .set(name::LEASE_UNTIL, after(now, interval))
            .when(Condition::AnyOf(vec![
                vec![Condition::Absent("pk")],
                vec![Condition::AtMost(name::LEASE_UNTIL, micros(now))],
                // A lease that ends so late was written by a clock that is ahead.
                vec![Condition::MoreThan(name::LEASE_UNTIL, micros(latest_lease_end(now, interval)))],
            ]));
        let begun = self.table.update(&begin).await.map_err(|error| error.during("beginning to sweep"))?;
        Ok(matches!(begun, Updated::Applied(_)))
    }

    /// All jobs that have not ended or have chunks that are not counted, newest first. Removes the entries
    /// of jobs that need no more sweeps.
    pub(crate) async fn open_jobs(&self, bound: Duration) -> Result<Vec<OpenJob>, StoreError> {
        let open = async {
            self.relist_open_jobs().await?;
            let mut found = Vec::new();
            for entry in self.all_entries().await? {
                let Some(record) = self.open_record(&entry, bound).await? else { continue };
                // Newer versions sweep their own jobs.
                let Ok(job) = from_envelope(&record, name::JOB) else { continue };
                let uncounted_chunks = self.segments_and_uncounted(&entry.id, &record).await?.1.len() as u64;
                let is_unsealed = !record.has(name::SEAL) && !record.has(name::ENDED_AT);
                found.push(OpenJob { job, is_unsealed, uncounted_chunks });
            }
            found.sort_by_key(|open| Reverse(open.job.created_at));
            Ok(found)
        };
        open.await.map_err(|error: TableError| error.during("looking for jobs that have not ended"))
    }

    /// The segments of a job, and the numbers of its chunks that are not counted.
    async fn segments_and_uncounted(
        &self,
        id: &JobId,
        record: &Item,
    ) -> Result<(Vec<Item>, Vec<u32>), TableError> {
        let chunks = record.number(name::CHUNKS).and_then(|chunks| u32::try_from(chunks).ok()).unwrap_or(0);
        let segments = self.table.query(&schema::of_job(id), schema::SEGMENTS, false, None).await?;
        let counted: BTreeSet<i64> =
            segments.iter().flat_map(|segment| segment.numbers(name::COMPLETED)).copied().collect();
        let uncounted = (0..chunks).filter(|seq| !counted.contains(&i64::from(*seq))).collect();
        Ok((segments, uncounted))
    }

    /// Whether a job that is not sealed is older than `bound` and no process ingests for it.
    pub(crate) async fn is_abandoned(&self, job: &Job, bound: Duration) -> Result<bool, StoreError> {
        let is_new = after(job.created_at, bound) > micros(self.clock.now());
        Ok(!is_new && !self.is_ingested_into(job, bound).await?)
    }

    /// Repairs a job: finishes interrupted completions and redrives, claims the resending of chunks that have waited
    /// longer than `bound`, if given, and checks whether the job has ended.
    pub(crate) async fn sweep(&self, id: &JobId, bound: Option<Duration>) -> Result<SweepResult, StoreError> {
        self.sweep_job(id, bound).await.map_err(|error| error.during(format!("sweeping job {id}")))
    }

    async fn sweep_job(&self, id: &JobId, bound: Option<Duration>) -> Result<SweepResult, TableError> {
        let mut found = SweepResult::default();
        let Some(record) = self.record(id).await? else { return Ok(found) };
        let (segments, mut uncounted) = self.segments_and_uncounted(id, &record).await?;
        uncounted.truncate(MAX_ROWS);
        let keys: Vec<Key> = uncounted.iter().map(|seq| schema::chunk(id, *seq)).collect();
        for (seq, row) in uncounted.into_iter().zip(self.table.get_batch(&keys).await?) {
            // An ingest was interrupted before it added this row; the one that resumes the job adds it.
            let Some(row) = row else { continue };
            let redrive_count = match (row.text(name::STATE), bound) {
                (Some(state::COMPLETING), _) => {
                    self.finish_completion(id, seq, &row).await?;
                    found.completed += 1;
                    None
                }
                // Done and not counted: a redrive was interrupted.
                (Some(state::DONE), _) => self.redrive_row(id, seq, redrive_count_of(&row)).await?,
                (_, Some(bound)) => self.claim_resend(id, seq, bound).await?.then(|| redrive_count_of(&row)),
                (_, None) => None,
            };
            if let Some(redrive_count) = redrive_count {
                found.to_send.push((from_envelope(&row, name::CHUNK)?, redrive_count));
            }
        }
        if record.has(name::ENDED_AT) {
            return Ok(found);
        }
        self.look_for_end(id, &record, &segments).await?;
        let record = self.record(id).await?;
        found.has_ended = record.is_some_and(|record| record.has(name::ENDED_AT));
        Ok(found)
    }

    /// Claims the resending of a chunk that has waited too long or whose lease expired long ago. Returns whether it was
    /// claimed; no other sweep claims it until `bound` has passed again.
    async fn claim_resend(&self, id: &JobId, seq: u32, bound: Duration) -> Result<bool, TableError> {
        let now = self.clock.now();
        let latest = micros(latest_lease_end(now, bound));
        let bound = i64::try_from(bound.as_micros()).unwrap_or(i64::MAX);
        let before = micros(now).saturating_sub(bound);
        let send = of_existing(schema::chunk(id, seq))
            .set(name::STATE, state::PENDING)
            .set(name::SINCE, micros(now))
            .set(name::LEASE_UNTIL, 0u32)
            .when(Condition::AnyOf(vec![
                vec![
                    Condition::Equals(name::STATE, state::PENDING.into()),
                    Condition::AtMost(name::SINCE, before),
                ],
                vec![
                    Condition::Equals(name::STATE, state::RUNNING.into()),
                    Condition::AtMost(name::LEASE_UNTIL, before),
                ],
                vec![
                    Condition::Equals(name::STATE, state::RUNNING.into()),
                    Condition::MoreThan(name::LEASE_UNTIL, latest),
                ],
            ]));
        Ok(matches!(self.table.update(&send).await?, Updated::Applied(_)))
    }

    /// Records full segments (items that count 250 chunks each) that the record lacks. If it has all, records one of
    /// them again, which ends the job: the process that recorded the last one may have crashed before that.
    async fn look_for_end(&self, id: &JobId, record: &Item, segments: &[Item]) -> Result<(), TableError> {
        let mut last = None;
        for segment in segments.iter().filter(|segment| is_full(segment)) {
            let number = segment.text("sk").and_then(|sk| sk.strip_prefix(schema::SEGMENTS));
            let number: u32 = number.unwrap_or_default().parse().map_err(TableError::corrupt)?;
            if record.numbers(name::FULL).contains(&i64::from(number)) {
                last = Some(number);
            } else {
                self.record_full_segment(id, number).await?;
            }
        }
        let needed = record.number(name::SEALED_CHUNKS).and_then(|chunks| u32::try_from(chunks).ok());
        if let (Some(number), Some(chunks)) = (last, needed)
            && full(record) >= super::end::segments(chunks)
        {
            self.record_full_segment(id, number).await?;
        }
        Ok(())
    }
}
