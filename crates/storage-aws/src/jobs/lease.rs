//! Leases of chunks: a worker claims a chunk, renews its lease while it works, and releases what it could not finish.

use super::{
    CachedJob, DynamoJobs, after, from_envelope, from_json, from_micros, micros, name, of_existing,
    redrive::redrive_count_of, schema, state, to_json,
};
use crate::table::{Condition, Item, TableError, Update, Updated};
use host_core::{
    model::{JobId, JobStatus},
    storage::{ChunkLease, ChunkOutcome, Claim, QuarantineReason, Release, latest_lease_end},
};
use std::time::Duration;

impl DynamoJobs {
    pub(super) async fn claim_row(
        &self,
        id: &JobId,
        seq: u32,
        duration: Duration,
    ) -> Result<Claim, TableError> {
        // If the response is lost, the SDK repeats the request: this tells our own claim from another worker's.
        let holder = format!("{:016x}{:016x}", self.clock.random(), self.clock.random());
        let now = self.clock.now();
        let claim = of_existing(schema::chunk(id, seq))
            .set(name::STATE, state::RUNNING)
            .set(name::LEASE_UNTIL, after(now, duration))
            .set(name::HOLDER, holder.as_str())
            .add(name::FENCING_TOKEN, 1i64)
            .add("attempts", 1i64)
            .when(Condition::AnyOf(vec![
                vec![Condition::Equals(name::STATE, state::PENDING.into())],
                vec![
                    Condition::Equals(name::STATE, state::RUNNING.into()),
                    Condition::AtMost(name::LEASE_UNTIL, micros(now)),
                ],
                // A lease that ends so late was written by a clock that is ahead.
                vec![
                    Condition::Equals(name::STATE, state::RUNNING.into()),
                    Condition::MoreThan(name::LEASE_UNTIL, micros(latest_lease_end(now, duration))),
                ],
            ]));
        let row = match self.table.update(&claim).await? {
            Updated::Applied(row) => row,
            Updated::ConditionFailed(None) => return Ok(Claim::Unknown),
            Updated::ConditionFailed(Some(row)) if row.text(name::HOLDER) == Some(&holder) => row,
            Updated::ConditionFailed(Some(row)) => return self.refused_claim(id, seq, &row).await,
        };
        self.start(id).await?;
        let number = |name| row.number(name).and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
        let attempts = u32::try_from(number("attempts")).unwrap_or(u32::MAX);
        let first_error =
            row.has(name::FIRST_ERROR).then(|| from_json(&row, name::FIRST_ERROR)).transpose()?;
        Ok(Claim::Acquired(ChunkLease {
            job_id: id.clone(),
            seq,
            fencing_token: number(name::FENCING_TOKEN),
            attempts,
            redrive_count: redrive_count_of(&row),
            first_error,
        }))
    }

    /// Why a claim was refused. A chunk that a crashed worker completed partially is finished here.
    async fn refused_claim(&self, id: &JobId, seq: u32, row: &Item) -> Result<Claim, TableError> {
        match row.text(name::STATE) {
            Some(state::DONE) => {}
            Some(state::COMPLETING) => {
                self.finish_completion(id, seq, row).await?;
                tracing::info!(job_id = %id, seq, found = "half-completed", "counted a chunk whose worker crashed before it did");
            }
            _ => {
                let until = from_micros(row.number(name::LEASE_UNTIL).unwrap_or(0))?;
                return Ok(Claim::Held { until });
            }
        }
        Ok(Claim::Done { quarantined: quarantined(row)? })
    }

    /// Sets the status of a job to "in progress" with its first claim.
    async fn start(&self, id: &JobId) -> Result<(), TableError> {
        if self.known(id).is_some_and(|known| known.started) {
            return Ok(());
        }
        let Some(record) = self.locate(id).await? else { return Ok(()) };
        let start = of_existing(record.clone())
            .set(name::STATUS, JobStatus::InProgress.as_str())
            .when(Condition::Equals(name::STATUS, JobStatus::Pending.as_str().into()));
        // If the condition fails, the job was started before.
        self.table.update(&start).await?;
        self.remember(id, CachedJob { record, started: true });
        Ok(())
    }

    pub(super) async fn renew_row(&self, lease: &ChunkLease, duration: Duration) -> Result<bool, TableError> {
        let renew = of_leased(lease).set(name::LEASE_UNTIL, after(self.clock.now(), duration));
        Ok(matches!(self.table.update(&renew).await?, Updated::Applied(_)))
    }

    pub(super) async fn release_row(
        &self,
        lease: &ChunkLease,
        release: Release<'_>,
    ) -> Result<bool, TableError> {
        if let Release::CountAttempt(Some(error)) = release {
            let first = of_leased(lease)
                .set(name::FIRST_ERROR, to_json(error))
                .when(Condition::Absent(name::FIRST_ERROR));
            self.table.update(&first).await?;
        }
        let mut pending = of_leased(lease)
            .set(name::STATE, state::PENDING)
            .set(name::SINCE, micros(self.clock.now()))
            .set(name::LEASE_UNTIL, 0u32);
        if let Release::ResetAttempts = release {
            pending = pending.set("attempts", 0u32).remove(name::FIRST_ERROR);
        }
        Ok(match self.table.update(&pending).await? {
            Updated::Applied(_) => true,
            // The worker repeats a call whose answer was lost, and no worker has claimed the chunk since.
            Updated::ConditionFailed(row) => {
                row.is_some_and(|row| is_in_state(&row, state::PENDING, lease.fencing_token))
            }
        })
    }
}

/// An update of a chunk's row that is rejected if the lease was lost.
pub(super) fn of_leased(lease: &ChunkLease) -> Update {
    of_existing(schema::chunk(&lease.job_id, lease.seq))
        .when(Condition::Equals(name::FENCING_TOKEN, lease.fencing_token.into()))
        .when(Condition::Equals(name::STATE, state::RUNNING.into()))
}

/// Whether a row is in this state and its last claim has this fencing token (a number that grows with each claim).
pub(super) fn is_in_state(row: &Item, state: &str, fencing_token: u64) -> bool {
    let last = row.number(name::FENCING_TOKEN).and_then(|number| u64::try_from(number).ok());
    row.text(name::STATE) == Some(state) && last == Some(fencing_token)
}

/// Why a row whose chunk is done or completing was quarantined, if it was.
fn quarantined(row: &Item) -> Result<Option<QuarantineReason>, TableError> {
    let outcome = row.has(name::OUTCOME).then(|| from_envelope(row, name::OUTCOME)).transpose()?;
    Ok(outcome.and_then(|outcome: ChunkOutcome| outcome.quarantined))
}
