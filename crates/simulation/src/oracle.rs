//! The oracle: remembers what all jobs said, and checks that the index has, of every product, the newest state.

use crate::shop::{State, number_of};
use host_core::{
    model::{ChunkLine, Job, JobId},
    storage::JobSnapshot,
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What a job's chunks say of a product.
pub(crate) enum Said {
    /// All documents of the product, or its removal.
    All(State),
    /// Some documents of this version: the ingesting process crashed before it published the others.
    Part { version: i64 },
}

/// What a job read.
struct Read {
    /// When its export was taken from the shop.
    at: Timestamp,
    products: BTreeMap<u64, State>,
    /// Those of them that the plug-in refused.
    refused: BTreeMap<u64, State>,
}

impl Read {
    /// Whether the export has a product that is not deleted, or that the plug-in refused.
    fn has(&self, product: u64) -> bool {
        matches!(self.products.get(&product), Some(State::Live { .. })) || self.refused.contains_key(&product)
    }
}

/// What a job says of a product, and when its export was taken.
#[derive(Clone, Debug)]
struct Statement {
    at: Timestamp,
    state: State,
}

/// A full sync did not have a product that the index had in this version, and archived it.
#[derive(Debug)]
struct Absence {
    /// When the full sync's export was taken.
    at: Timestamp,
    version: i64,
}

/// Remembers what all jobs said.
#[derive(Default)]
pub(crate) struct Oracle {
    jobs: BTreeMap<JobId, Read>,
    /// By the product's number, as in the next two fields.
    statements: BTreeMap<u64, Vec<Statement>>,
    absences: BTreeMap<u64, Vec<Absence>>,
    /// The newest version of which a crashed ingest published only some documents.
    partial: BTreeMap<u64, i64>,
    has_lost_ledger: bool,
}

impl Oracle {
    /// Remembers what a job is going to read.
    pub(crate) fn note_job(
        &mut self,
        job: &Job,
        products: BTreeMap<u64, State>,
        refused: BTreeMap<u64, State>,
    ) {
        let at = job.exported_at.unwrap();
        self.jobs.insert(job.id.clone(), Read { at, products, refused });
    }

    /// The products that the plug-in refused in a job.
    pub(crate) fn refused(&self, job: &JobId) -> BTreeMap<u64, State> {
        self.jobs[job].refused.clone()
    }

    /// Remembers what a job says: `said` in its chunks, and of the products that it skipped as unchanged what it read.
    /// Returns the number of skipped products.
    pub(crate) fn note_said(&mut self, job: &JobSnapshot, said: BTreeMap<u64, Said>) -> u64 {
        let Read { at, products, refused } = &self.jobs[&job.job.id];
        let is_read = job.seal.is_some();
        let skipped = products
            .iter()
            .filter(|(number, _)| is_read && !said.contains_key(number) && !refused.contains_key(number));
        let skipped: Vec<(u64, State)> = skipped.map(|(number, state)| (*number, state.clone())).collect();
        let documents: usize = skipped.iter().map(|(_, state)| state.documents().len()).sum();
        let counted = job.seal.as_ref().map_or(0, |seal| seal.ingest_counts.unchanged);
        assert_eq!(documents as u64, counted, "unchanged documents of job {}", job.job.id);
        let number = skipped.len() as u64;
        let mut statements = skipped;
        for (number, said) in said {
            match said {
                Said::All(state) => statements.push((number, state)),
                Said::Part { version } => {
                    let newest = self.partial.entry(number).or_default();
                    *newest = version.max(*newest);
                }
            }
        }
        for (number, state) in statements {
            self.statements.entry(number).or_default().push(Statement { at: *at, state });
        }
        number
    }

    /// Remembers what was archived after a full sync (`lines` are the removals), and checks that neither that sync
    /// nor a job with a later export had any of it. `known` are the jobs whose records are there.
    pub(crate) fn note_archived(&mut self, full: &Job, lines: &[ChunkLine], known: &[JobSnapshot]) {
        let at = self.jobs[&full.id].at;
        for line in lines {
            // A repair of the ledger may have recorded a document as a product of its own.
            if line.product.as_str().contains('-') {
                continue;
            }
            let number = number_of(line.product.as_str());
            for job in known {
                let Some(read) = self.jobs.get(&job.job.id) else { continue };
                let is_later = read.at > at || job.job.id == full.id || job.job.is_after(full);
                assert!(
                    !(read.has(number) && job.seal.is_some() && is_later),
                    "p{number} is archived after job {} of {at}, and {} of {} had it",
                    full.sequence,
                    job.job.sequence,
                    read.at
                );
            }
            let version = line.document.fields["v"].as_i64().unwrap();
            self.absences.entry(number).or_default().push(Absence { at, version });
        }
    }

    /// Remembers that the ledger has lost records or was replaced by an earlier state.
    pub(crate) fn lose_ledger(&mut self) {
        self.has_lost_ledger = true;
    }

    /// Remembers that the ledger was rebuilt from the index.
    pub(crate) fn rebuild_ledger(&mut self) {
        self.has_lost_ledger = false;
    }

    /// Whether the ledger has all records, as far as the oracle knows.
    pub(crate) fn is_ledger_whole(&self) -> bool {
        !self.has_lost_ledger
    }

    /// Checks what the index has of a product: each variant with its version.
    pub(crate) fn check(&self, product: u64, indexed: &BTreeMap<u64, i64>) {
        let statements = self.statements.get(&product).into_iter().flatten();
        let newest = statements.max_by_key(|statement| statement.state.version());
        let Some(Statement { at, state }) = newest else { return };
        // Some documents of a newer version may have been written and others not: nothing is certain.
        if self.partial.get(&product).is_some_and(|version| *version > state.version()) {
            return;
        }
        let latest = self.statements[&product].iter().map(|statement| statement.at).max().unwrap_or(*at);
        let absences = self.absences.get(&product).into_iter().flatten();
        let later: Vec<&Absence> = absences.filter(|absence| absence.at > latest).collect();
        // A version that is newer than the archived one comes back even if its export seems older, since the clock that
        // says so may have been wrong: then both outcomes are right.
        if !later.is_empty() && later.iter().all(|absence| absence.version < state.version()) {
            return;
        }
        let expected = if later.is_empty() { state.documents() } else { BTreeMap::new() };
        if self.has_lost_ledger {
            return self.check_without_ledger(product, indexed, state);
        }
        assert_eq!(*indexed, expected, "p{product}: {state:?}, archived {later:?}");
    }

    /// Checks a product after records of the ledger were lost: older jobs may then bring documents back that had left
    /// the index. The newest documents must be there all the same.
    fn check_without_ledger(&self, product: u64, indexed: &BTreeMap<u64, i64>, state: &State) {
        let newest = state.documents();
        let is_archived = self.absences.contains_key(&product);
        let is_there = |(variant, version): (&u64, &i64)| indexed.get(variant) == Some(version);
        assert!(
            is_archived || newest.iter().all(is_there),
            "p{product}: {state:?}, and the index has {indexed:?}"
        );
        let is_older =
            |(variant, version): (&u64, &i64)| newest.contains_key(variant) || *version < state.version();
        assert!(indexed.iter().all(is_older), "p{product}: {state:?}, and the index has {indexed:?}");
    }
}
