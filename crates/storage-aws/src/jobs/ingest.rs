//! The ingest lease of a shop's index: one process at a time, and another takes over once the lease expires.

use super::{DynamoJobs, after, from_micros, micros, name, schema};
use crate::table::{Condition, TableError, Update, Updated};
use async_trait::async_trait;
use host_core::{
    model::Job,
    storage::{IngestGuard, StoreError, latest_lease_end},
};
use jiff::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// The exclusive right to ingest for an index of a shop. It is renewed until this value is dropped, and then expires.
pub struct IngestLease {
    jobs: Arc<DynamoJobs>,
    job: Job,
    holder: String,
    lost: CancellationToken,
    heartbeat: tokio::task::JoinHandle<()>,
}

impl IngestLease {
    /// Cancelled when another process has taken the lease over, so that this one must stop.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Releases the right, so that no process waits for it to expire.
    pub async fn end(self) -> Result<(), StoreError> {
        self.heartbeat.abort();
        let ended = self.jobs.put_ingest_lease(&self.job, &self.holder, Duration::ZERO).await;
        ended.map(drop).map_err(|error| error.during(format!("ending the ingest of job {}", self.job.id)))
    }
}

#[async_trait]
impl IngestGuard for IngestLease {
    async fn lost(&self) {
        self.lost.cancelled().await;
    }

    async fn release(self: Box<Self>) -> Result<(), StoreError> {
        self.end().await
    }
}

impl Drop for IngestLease {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

impl DynamoJobs {
    /// Takes the lease or renews it. If another process holds it, returns when that lease ends.
    async fn put_ingest_lease(
        &self,
        job: &Job,
        holder: &str,
        lease: Duration,
    ) -> Result<Option<Timestamp>, TableError> {
        let now = self.clock.now();
        let take = Update::new(schema::ingest(job))
            .set(name::HOLDER, holder)
            .set("of_job", job.id.as_str())
            .set(name::LEASE_UNTIL, after(now, lease))
            .set(name::EXPIRES_AT, self.expiry())
            .when(Condition::AnyOf(vec![
                vec![Condition::Absent("pk")],
                vec![Condition::Equals(name::HOLDER, holder.into())],
                vec![Condition::AtMost(name::LEASE_UNTIL, micros(now))],
                // A lease that ends so late was written by a clock that is ahead.
                vec![Condition::MoreThan(name::LEASE_UNTIL, micros(latest_lease_end(now, lease)))],
            ]));
        Ok(match self.table.update(&take).await? {
            Updated::Applied(_) => None,
            Updated::ConditionFailed(item) => {
                let until =
                    item.and_then(|item| item.number(name::LEASE_UNTIL)).unwrap_or_else(|| micros(now));
                Some(from_micros(until)?)
            }
        })
    }

    /// Whether a process ingests for the job's shop and index now.
    pub(crate) async fn is_ingested_into(&self, job: &Job, lease: Duration) -> Result<bool, StoreError> {
        let item = self.table.get(&schema::ingest(job)).await;
        let item =
            item.map_err(|error| error.during(format!("looking whether job {} is ingested", job.id)))?;
        let until = item.and_then(|item| item.number(name::LEASE_UNTIL));
        let now = self.clock.now();
        let latest = micros(latest_lease_end(now, lease));
        Ok(until.is_some_and(|until| until > micros(now) && until <= latest))
    }

    /// Acquires the ingest lease of the job's shop and index. Waits for as long as another process renews it.
    pub(crate) async fn acquire_ingest(
        self: Arc<Self>,
        job: &Job,
        lease: Duration,
    ) -> Result<IngestLease, StoreError> {
        let holder = format!("{:016x}{:016x}", self.clock.random(), self.clock.random());
        let failed = |error: TableError| error.during(format!("acquiring the ingest of job {}", job.id));
        let mut warned = false;
        while let Some(until) = self.put_ingest_lease(job, &holder, lease).await.map_err(failed)? {
            if !warned {
                tracing::warn!(
                    shop_id = job.shop_id,
                    index_name = job.index_name,
                    "another process ingests for this shop and index; waiting for its end"
                );
                warned = true;
            }
            let wait = self.clock.now().duration_until(until).unsigned_abs();
            self.clock.sleep(wait.clamp(Duration::from_secs(1), lease.max(Duration::from_secs(1)))).await;
        }
        let lost = CancellationToken::new();
        let heartbeat = {
            let (jobs, job, holder, lost) = (self.clone(), job.clone(), holder.clone(), lost.clone());
            tokio::spawn(async move { jobs.keep_ingest_lease(&job, &holder, lease, &lost).await })
        };
        Ok(IngestLease { jobs: self, job: job.clone(), holder, lost, heartbeat })
    }

    /// Renews the lease three times in its duration, until it is lost.
    async fn keep_ingest_lease(&self, job: &Job, holder: &str, lease: Duration, lost: &CancellationToken) {
        loop {
            self.clock.sleep(lease / 3).await;
            match self.put_ingest_lease(job, holder, lease).await {
                Ok(None) => {}
                Ok(Some(_)) => return lost.cancel(),
                // Not lost yet: two more heartbeats come before the lease expires.
                Err(error) => {
                    tracing::warn!(job_id = %job.id, error = %error.source, "could not renew the ingest lease");
                }
            }
        }
    }
}
