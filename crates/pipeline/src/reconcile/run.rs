//! One run over ledger and index, with what both directions share.

use super::{
    Comparison, Difference, DifferenceKind, Reconcile, ReconcileError, ReconcileMode, Removals, Repair,
    digests::Digests,
};
use crate::{
    removals::{PlannedRemoval, RemovalPublisher, RemovalReason},
    removed_shop::create_job,
    writers::Writers,
};
use host_core::{
    index::StoredVersion,
    model::{DocumentId, JobId, ProductId},
    storage::{JobSnapshot, LedgerScope, Stores},
};
use serde_json::{Map, Value};

/// Documents of one lookup in the index.
pub(super) const LOOKUP_BATCH: usize = 1_000;

/// One run.
pub(super) struct ReconcileRun<'a, F> {
    pub(super) reconcile: &'a Reconcile<'a>,
    pub(super) stores: &'a Stores,
    /// The jobs of the index, newest first.
    pub(super) jobs: &'a [JobSnapshot],
    pub(super) scope: LedgerScope,
    pub(super) writers: Writers<'a>,
    pub(super) found: Comparison,
    removals: Option<Removals<'a>>,
    report: F,
}

impl<'a, F: FnMut(&Difference) + Send> ReconcileRun<'a, F> {
    pub(super) fn new(
        reconcile: &'a Reconcile<'a>,
        stores: &'a Stores,
        jobs: &'a [JobSnapshot],
        report: F,
    ) -> Self {
        let writers = Writers::new(stores, &reconcile.target.shop_id);
        let (scope, found) = (reconcile.scope(), Comparison::default());
        Self { reconcile, stores, jobs, scope, writers, found, removals: None, report }
    }

    /// Has differences repaired; removals need a job.
    pub(super) fn repairing(self, removals: Option<Removals<'a>>) -> Self {
        let found = Comparison { repair: Some(Repair::default()), ..self.found };
        Self { removals, found, ..self }
    }

    pub(super) async fn run(mut self) -> Result<Comparison, ReconcileError> {
        self.found.in_index = self.reconcile.index.count(&self.reconcile.target).await?;
        let (live, left) = self.read_ledger().await?;
        let live = Digests::new(live);
        if self.reconcile.mode == ReconcileMode::All {
            self.compare_ledger(&live).await?;
        }
        self.compare_index(&live.with(left)).await?;
        if let (Some(Removals { job, publisher: Some(publisher), .. }), Some(repair)) =
            (self.removals, &mut self.found.repair)
        {
            repair.to_remove = publisher.seal("reconcile").await?;
            repair.removal_job = Some(job.id.clone());
        }
        Ok(self.found)
    }

    pub(super) fn is_repairing(&self) -> bool {
        self.found.repair.is_some()
    }

    /// Counts a difference and hands it on.
    pub(super) fn differs(
        &mut self,
        kind: DifferenceKind,
        document: &DocumentId,
        product: Option<&ProductId>,
    ) {
        *match kind {
            DifferenceKind::Missing => &mut self.found.missing,
            DifferenceKind::Removed => &mut self.found.removed,
            DifferenceKind::Unknown => &mut self.found.unknown,
        } += 1;
        (self.report)(&Difference { kind, document: document.clone(), product: product.cloned() });
    }

    /// Publishes the removal of a document that left the product in this version.
    pub(super) async fn remove(
        &mut self,
        document: &DocumentId,
        product: &ProductId,
        version: &Map<String, Value>,
        writer: &JobId,
        reason: RemovalReason,
    ) -> Result<(), ReconcileError> {
        if !self.is_repairing() || self.reconcile.mode != ReconcileMode::All {
            return Ok(());
        }
        let removals = self.removals.as_mut().ok_or(ReconcileError::NoJob)?;
        let publisher = match &mut removals.publisher {
            Some(publisher) => publisher,
            none => {
                let created = create_job(self.stores, removals.job).await??;
                let job = removals.created.get_or_init(|| created);
                none.insert(RemovalPublisher::new(self.stores, &self.reconcile.clock, job, removals.bounds))
            }
        };
        let planned = PlannedRemoval::new(document.clone(), product.clone(), version.clone(), writer, reason);
        Ok(publisher.publish(planned).await?)
    }

    /// What the index holds under these ids, one entry each; what it has archived is not in it.
    pub(super) async fn stored(
        &self,
        ids: &[DocumentId],
    ) -> Result<Vec<Option<StoredVersion>>, ReconcileError> {
        let mut stored = Vec::with_capacity(ids.len());
        for some in ids.chunks(LOOKUP_BATCH) {
            let found = self.reconcile.index.stored(&self.reconcile.target, some).await?;
            stored.extend(found.into_iter().map(|stored| stored.filter(|stored| !stored.is_archived)));
        }
        Ok(stored)
    }
}
