//! What the index must have: of every product, the newest state that any job said.

use crate::shop::{State, number_of};
use host_core::{
    model::{ChunkLine, Job, JobId},
    storage::JobSnapshot,
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What a job says of a product.
pub(crate) enum Said {
    All(State),
    /// Some documents of this version: the process that ingested crashed before the others.
    Part {
        version: i64,
    },
}

/// What a job read.
struct Read {
    at: Timestamp,
    products: BTreeMap<u64, State>,
    /// Those of them that the plug-in refused.
    refused: BTreeMap<u64, State>,
}

impl Read {
    /// Whether the job says that the shop has a product.
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

/// That a full sync archived a product which the index had in this version.
#[derive(Debug)]
struct Absence {
    at: Timestamp,
    version: i64,
}

/// Remembers what all jobs said.
#[derive(Default)]
pub(crate) struct Oracle {
    jobs: BTreeMap<JobId, Read>,
    statements: BTreeMap<u64, Vec<Statement>>,
    absences: BTreeMap<u64, Vec<Absence>>,
    /// Versions of products of which a crashed ingest published a part.
    partial: BTreeMap<u64, i64>,
    has_lost_ledger: bool,
}

impl Oracle {
    /// Notes what a job reads, before it does.
    pub(crate) fn note_job(
        &mut self,
        job: &Job,
        products: BTreeMap<u64, State>,
        refused: BTreeMap<u64, State>,
    ) {
        let at = job.exported_at.unwrap();
        self.jobs.insert(job.id.clone(), Read { at, products, refused });
    }

    /// The products that were refused in a job.
    pub(crate) fn refused(&self, job: &JobId) -> BTreeMap<u64, State> {
        self.jobs[job].refused.clone()
    }

    /// Notes what a job says in its chunks, and of the products that it skipped, whose number it returns.
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

    /// Notes what a full sync archived: nothing that it has, or that a later export had.
    pub(crate) fn note_archived(&mut self, full: &Job, lines: &[ChunkLine], known: &[JobSnapshot]) {
        let at = self.jobs[&full.id].at;
        for line in lines {
            // A document that a repair of the ledger recorded without its product.
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

    /// Notes that records of the ledger are gone, or those of an earlier time.
    pub(crate) fn lose_ledger(&mut self) {
        self.has_lost_ledger = true;
    }

    /// Notes that the ledger was made again.
    pub(crate) fn rebuild_ledger(&mut self) {
        self.has_lost_ledger = false;
    }

    pub(crate) fn is_ledger_whole(&self) -> bool {
        !self.has_lost_ledger
    }

    /// Checks the versions of a product's documents in the index.
    pub(crate) fn check(&self, product: u64, indexed: &BTreeMap<u64, i64>) {
        let statements = self.statements.get(&product).into_iter().flatten();
        let newest = statements.max_by_key(|statement| statement.state.version());
        let Some(Statement { at, state }) = newest else { return };
        if self.partial.get(&product).is_some_and(|version| *version > state.version()) {
            return;
        }
        let latest = self.statements[&product].iter().map(|statement| statement.at).max().unwrap_or(*at);
        let absences = self.absences.get(&product).into_iter().flatten();
        let later: Vec<&Absence> = absences.filter(|absence| absence.at > latest).collect();
        // A newer version than the archived one comes back: its export was perhaps taken before, by a wrong clock.
        if !later.is_empty() && later.iter().all(|absence| absence.version < state.version()) {
            return;
        }
        let expected = if later.is_empty() { state.documents() } else { BTreeMap::new() };
        if self.has_lost_ledger {
            return self.check_without_ledger(product, indexed, state);
        }
        assert_eq!(*indexed, expected, "p{product}: {state:?}, archived {later:?}");
    }

    /// Without records, what left the index may come back by what is older, and stay. What is newest is there all the
    /// same.
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
