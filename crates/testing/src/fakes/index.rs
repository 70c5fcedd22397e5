//! A fake of the `Index` port: an index in memory that fails when a script says so.

use async_trait::async_trait;
use host_core::{
    index::{Index, IndexError, Outcome, Precondition, Removal, StoredVersion, TargetId, Write, WriteTarget},
    model::{Document, DocumentId},
};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

/// The result of one call of [`Index::write`]; calls after the end of the script succeed.
#[derive(Clone, Debug)]
pub enum Next {
    /// It fails, and may succeed later.
    Transient,
    /// It fails until an operator acts.
    Permanent,
    /// It panics.
    Panic,
    /// It writes, then fails.
    LostAnswer,
    /// It refuses the document with this id.
    Refuse(&'static str),
    /// It returns no outcome.
    TooFewOutcomes,
    /// It takes so long, in tokio's time, and then succeeds.
    Slow(Duration),
    /// It takes so long, in tokio's time, and fails; it may succeed later.
    Timeout(Duration),
}

/// A document that the index holds.
#[derive(Clone, Debug)]
pub struct IndexedDocument {
    /// The last write, with the changes of later updates.
    pub write: Write,
    /// The job that wrote it.
    pub job_id: String,
}

/// What a [`FakeIndex`] holds, what was called, and what it is to do.
#[derive(Debug, Default)]
pub struct FakeIndexState {
    /// Its documents.
    pub documents: BTreeMap<DocumentId, IndexedDocument>,
    /// Documents that are archived: kept, but not listed.
    pub archived: BTreeMap<DocumentId, IndexedDocument>,
    /// The results of the next calls of [`Index::write`].
    pub script: VecDeque<Next>,
    /// A shop whose index cannot be written to.
    pub broken_shop: Option<String>,
    /// Versions that another writer writes of document `1` right before the next changes of it, which are then in conflict.
    pub concurrent_writes: VecDeque<i64>,
    /// Which index it claims to be; `None`: an embedded relational catalog.
    pub id: Option<TargetId>,
    /// The server that it claims to be on.
    pub server: Option<String>,
    /// Most documents that it claims to be able to list; `None`: all.
    pub list_limit: Option<u64>,
    /// Calls of [`Index::stored`].
    pub reads: u64,
    /// The shop of each call of [`Index::write`] and [`Index::update`], in the order of the calls.
    pub written_shops: Vec<String>,
    /// All documents of [`Index::write`], in the order in which they were written.
    pub history: Vec<Write>,
}

impl FakeIndexState {
    /// The field `v` of all versions of each document, in the order in which they were written.
    pub fn written_versions(&self) -> BTreeMap<DocumentId, Vec<i64>> {
        let mut versions: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        for write in &self.history {
            versions.entry(write.document.id.clone()).or_default().extend(write.version["v"].as_i64());
        }
        versions
    }

    /// Whether another writer changes the document right before this call. Does that change.
    fn has_concurrent_write(&mut self, id: &DocumentId) -> bool {
        let is_contested = id.as_str() == "1";
        let Some(version) = is_contested.then(|| self.concurrent_writes.pop_front()).flatten() else {
            return false;
        };
        let write = Write {
            document: Document { id: id.clone(), fields: Map::new() },
            version: Map::from_iter([("v".to_owned(), version.into())]),
            content_hash: format!("other {version}"),
            precondition: Precondition::None,
        };
        self.documents.insert(id.clone(), IndexedDocument { write, job_id: "other".to_owned() });
        true
    }

    fn write(&mut self, target: &WriteTarget, write: &Write) -> Outcome {
        if self.has_concurrent_write(&write.document.id) {
            return Outcome::Conflict;
        }
        self.history.push(write.clone());
        let held = IndexedDocument { write: write.clone(), job_id: target.job_id.clone() };
        self.archived.remove(&write.document.id);
        self.documents.insert(write.document.id.clone(), held);
        Outcome::Done
    }

    fn update(&mut self, target: &WriteTarget, update: &Write) -> Outcome {
        let Some(IndexedDocument { write, job_id }) = self.documents.get_mut(&update.document.id) else {
            return Outcome::Refused { code: "document-not-found".into(), message: "no".into() };
        };
        write.document.fields.extend(update.document.fields.clone());
        write.version.extend(update.version.clone());
        write.content_hash = update.content_hash.clone();
        *job_id = target.job_id.clone();
        Outcome::Done
    }

    fn remove(&mut self, removal: &Removal) -> Outcome {
        if removal.precondition != Precondition::None && self.has_concurrent_write(&removal.id) {
            return Outcome::Conflict;
        }
        let held = self.documents.remove(&removal.id);
        if !removal.archives {
            self.archived.remove(&removal.id);
        } else if let Some(held) = held {
            self.archived.insert(removal.id.clone(), held);
        }
        Outcome::Done
    }
}

/// An index in memory that does what a script says. It checks no preconditions: only
/// [`FakeIndexState::concurrent_writes`] makes conflicts.
#[derive(Debug, Default)]
pub struct FakeIndex(Mutex<FakeIndexState>);

impl FakeIndex {
    /// Its state, for a test to read and change.
    pub fn state(&self) -> MutexGuard<'_, FakeIndexState> {
        self.0.lock().unwrap()
    }
}

fn index_error(transient: bool) -> IndexError {
    IndexError { action: "writing to the fake index".into(), transient, source: "as the script says".into() }
}

#[async_trait]
impl Index for FakeIndex {
    fn id(&self) -> TargetId {
        self.state().id.clone().unwrap_or_else(|| "catalog:embedded".into())
    }

    async fn server(&self, _: &WriteTarget) -> Option<String> {
        self.state().server.clone()
    }

    async fn check(&self, _: &WriteTarget) -> Result<(), IndexError> {
        Ok(())
    }

    async fn stored(
        &self,
        _: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<Vec<Option<StoredVersion>>, IndexError> {
        let mut state = self.state();
        state.reads += 1;
        let stored = |IndexedDocument { write, job_id }: &IndexedDocument, is_archived| StoredVersion {
            version: write.version.clone(),
            content_hash: Some(write.content_hash.clone()),
            job_id: Some(job_id.clone()),
            is_archived,
        };
        let find = |id| {
            let active = state.documents.get(id).map(|held| stored(held, false));
            active.or_else(|| state.archived.get(id).map(|held| stored(held, true)))
        };
        Ok(ids.iter().map(find).collect())
    }

    async fn write(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let next = {
            let mut state = self.state();
            state.written_shops.push(target.shop_id.clone());
            if state.broken_shop.as_ref() == Some(&target.shop_id) {
                return Err(index_error(false));
            }
            state.script.pop_front()
        };
        match next {
            Some(Next::Transient) => return Err(index_error(true)),
            Some(Next::Permanent) => return Err(index_error(false)),
            Some(Next::Panic) => panic!("the script says so"),
            Some(Next::TooFewOutcomes) => return Ok(Vec::new()),
            Some(Next::Timeout(time)) => {
                tokio::time::sleep(time).await;
                return Err(index_error(true));
            }
            Some(Next::Slow(time)) => tokio::time::sleep(time).await,
            Some(Next::Refuse(_) | Next::LostAnswer) | None => {}
        }
        let mut state = self.state();
        let write = |write: &Write| match next {
            Some(Next::Refuse(id)) if write.document.id.as_str() == id => {
                Outcome::Refused { code: "invalid-argument".into(), message: "no".into() }
            }
            _ => state.write(target, write),
        };
        let outcomes = batch.iter().map(write).collect();
        if matches!(next, Some(Next::LostAnswer)) { Err(index_error(true)) } else { Ok(outcomes) }
    }

    async fn update(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let mut state = self.state();
        state.written_shops.push(target.shop_id.clone());
        Ok(batch.iter().map(|update| state.update(target, update)).collect())
    }

    async fn delete(&self, _: &WriteTarget, batch: &[Removal]) -> Result<Vec<Outcome>, IndexError> {
        let mut state = self.state();
        Ok(batch.iter().map(|removal| state.remove(removal)).collect())
    }

    async fn get(&self, _: &WriteTarget, id: &DocumentId) -> Result<Option<Map<String, Value>>, IndexError> {
        Ok(self.state().documents.get(id).map(|held| held.write.document.fields.clone()))
    }

    async fn list(
        &self,
        _: &WriteTarget,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError> {
        let state = self.state();
        let ids = state.documents.keys().filter(|id| after.is_none_or(|after| *id > after));
        Ok(ids.take(limit).cloned().collect())
    }

    fn list_limit(&self) -> Option<u64> {
        self.state().list_limit
    }

    async fn count(&self, _: &WriteTarget) -> Result<u64, IndexError> {
        Ok(self.state().documents.len() as u64)
    }
}
