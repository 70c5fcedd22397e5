//! Who may work on a chunk, and until when.

use super::{
    Known, Records, after, from_json, from_micros, keys, micros, name, of_existing, redrive::epoch_of, state,
    to_json,
};
use crate::table::{Condition, Item, TableError, Updated};
use host_core::{
    model::{JobId, JobStatus},
    storage::{AttemptError, Claim},
};
use std::time::Duration;

impl Records {
    pub(super) async fn claim_row(&self, id: &JobId, seq: u32, lease: Duration) -> Result<Claim, TableError> {
        // Tells our own claim, whose answer was lost and which is sent again, from another worker's.
        let holder = format!("{:016x}{:016x}", self.env.random(), self.env.random());
        let now = self.env.now();
        let claim = of_existing(keys::chunk(id, seq))
            .set(name::STATE, state::RUNNING)
            .set(name::LEASE_UNTIL, after(now, lease))
            .set(name::HOLDER, holder.as_str())
            .add(name::FENCE, 1i64)
            .add("attempts", 1i64)
            .when(Condition::AnyOf(vec![
                vec![Condition::Is(name::STATE, state::PENDING.into())],
                vec![
                    Condition::Is(name::STATE, state::RUNNING.into()),
                    Condition::AtMost(name::LEASE_UNTIL, micros(now)),
                ],
            ]));
        let row = match self.table.update(&claim).await? {
            Updated::Done(row) => row,
            Updated::Refused(None) => return Ok(Claim::Unknown),
            Updated::Refused(Some(row)) if row.text(name::HOLDER) == Some(&holder) => row,
            Updated::Refused(Some(row)) => return lost(&row),
        };
        self.start(id).await?;
        let number = |name| row.number(name).and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
        let attempts = u32::try_from(number("attempts")).unwrap_or(u32::MAX);
        let first_error =
            row.has(name::FIRST_ERROR).then(|| from_json(&row, name::FIRST_ERROR)).transpose()?;
        Ok(Claim::Won { fence: number(name::FENCE), attempts, epoch: epoch_of(&row), first_error })
    }

    /// The job's first claim starts it.
    async fn start(&self, id: &JobId) -> Result<(), TableError> {
        if self.known(id).is_some_and(|known| known.started) {
            return Ok(());
        }
        let Some(record) = self.locate(id).await? else { return Ok(()) };
        let start = of_existing(record.clone())
            .set(name::STATUS, JobStatus::InProgress.as_str())
            .when(Condition::Is(name::STATUS, JobStatus::Pending.as_str().into()));
        // Refused, it was started before.
        self.table.update(&start).await?;
        self.remember(id, Known { record, started: true });
        Ok(())
    }

    pub(super) async fn renew_row(
        &self,
        id: &JobId,
        seq: u32,
        fence: u64,
        lease: Duration,
    ) -> Result<bool, TableError> {
        let renew = of_existing(keys::chunk(id, seq))
            .set(name::LEASE_UNTIL, after(self.env.now(), lease))
            .when(Condition::Is(name::FENCE, fence.into()))
            .when(Condition::Is(name::STATE, state::RUNNING.into()));
        Ok(matches!(self.table.update(&renew).await?, Updated::Done(_)))
    }

    pub(super) async fn give_row_back(
        &self,
        id: &JobId,
        seq: u32,
        fence: u64,
        error: Option<&AttemptError>,
    ) -> Result<bool, TableError> {
        let key = keys::chunk(id, seq);
        if let Some(error) = error {
            let first = of_existing(key.clone())
                .set(name::FIRST_ERROR, to_json(error))
                .when(Condition::Absent(name::FIRST_ERROR))
                .when(Condition::Is(name::FENCE, fence.into()))
                .when(Condition::Is(name::STATE, state::RUNNING.into()));
            self.table.update(&first).await?;
        }
        let give_back = of_existing(key)
            .set(name::STATE, state::PENDING)
            .set(name::SINCE, micros(self.env.now()))
            .set(name::LEASE_UNTIL, 0u32)
            .when(Condition::Is(name::FENCE, fence.into()))
            .when(Condition::Is(name::STATE, state::RUNNING.into()));
        Ok(match self.table.update(&give_back).await? {
            Updated::Done(_) => true,
            // The second time, because the first answer was lost: nobody has claimed it since.
            Updated::Refused(row) => row.is_some_and(|row| is(&row, state::PENDING, fence)),
        })
    }

    pub(super) async fn forgive_row(&self, id: &JobId, seq: u32) -> Result<(), TableError> {
        let forgive = of_existing(keys::chunk(id, seq))
            .set("attempts", 0u32)
            .remove(name::FIRST_ERROR)
            .when(Condition::Is(name::STATE, state::PENDING.into()));
        self.table.update(&forgive).await.map(drop)
    }
}

/// Whether a row is in this state and was last claimed with this fence.
pub(super) fn is(row: &Item, state: &str, fence: u64) -> bool {
    let last = row.number(name::FENCE).and_then(|number| u64::try_from(number).ok());
    row.text(name::STATE) == Some(state) && last == Some(fence)
}

/// Why a claim was not won.
fn lost(row: &Item) -> Result<Claim, TableError> {
    let quarantined = || {
        let outcome = row.has(name::OUTCOME).then(|| from_json(row, name::OUTCOME)).transpose()?;
        Ok(outcome.and_then(|outcome: host_core::storage::ChunkOutcome| outcome.quarantined))
    };
    Ok(match row.text(name::STATE) {
        Some(state::DONE) => Claim::Done { quarantined: quarantined()? },
        Some(state::SETTLING) => Claim::Settling { quarantined: quarantined()? },
        _ => Claim::Held { until: from_micros(row.number(name::LEASE_UNTIL).unwrap_or(0))? },
    })
}
