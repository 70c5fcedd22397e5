//! An interceptor between a caller and an index: it sees each call, and can delay it or have it fail.

use async_trait::async_trait;
use host_core::{
    index::{Index, IndexError, LoadLog, Outcome, Removal, StoredVersion, TargetId, Write, WriteTarget},
    model::DocumentId,
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A call of an [`Index`] that concerns documents.
#[derive(Clone, Copy, Debug)]
pub enum IndexCall<'a> {
    /// [`Index::stored`].
    Stored(&'a [DocumentId]),
    /// [`Index::write`].
    Write(&'a [Write]),
    /// [`Index::update`].
    Update(&'a [Write]),
    /// [`Index::delete`].
    Delete(&'a [Removal]),
    /// [`Index::list`], with its limit.
    List(usize),
}

/// Watches, delays or fails the calls of an index.
#[async_trait]
pub trait Interceptor: Send + Sync {
    /// Runs before a call. An error is returned to the caller, and the index is not called.
    async fn before(&self, _call: IndexCall<'_>) -> Result<(), IndexError> {
        Ok(())
    }

    /// Runs after a call that succeeded, with its outcomes, which are empty for calls that only read. An error is
    /// returned to the caller although the index was called.
    async fn after(&self, _call: IndexCall<'_>, _outcomes: &[Outcome]) -> Result<(), IndexError> {
        Ok(())
    }
}

#[async_trait]
impl<T: Interceptor> Interceptor for Arc<T> {
    async fn before(&self, call: IndexCall<'_>) -> Result<(), IndexError> {
        T::before(self, call).await
    }

    async fn after(&self, call: IndexCall<'_>, outcomes: &[Outcome]) -> Result<(), IndexError> {
        T::after(self, call, outcomes).await
    }
}

/// An index behind an interceptor.
pub struct Intercepted<I, T> {
    /// The index.
    pub index: I,
    /// What is called before and after it.
    pub interceptor: T,
}

#[async_trait]
impl<I: Index, T: Interceptor> Index for Intercepted<I, T> {
    fn id(&self) -> TargetId {
        self.index.id()
    }

    async fn server(&self, target: &WriteTarget) -> Option<String> {
        self.index.server(target).await
    }

    async fn check(&self, target: &WriteTarget) -> Result<(), IndexError> {
        self.index.check(target).await
    }

    async fn stored(
        &self,
        target: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<Vec<Option<StoredVersion>>, IndexError> {
        let call = IndexCall::Stored(ids);
        self.interceptor.before(call).await?;
        let stored = self.index.stored(target, ids).await?;
        self.interceptor.after(call, &[]).await?;
        Ok(stored)
    }

    async fn write(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let call = IndexCall::Write(batch);
        self.interceptor.before(call).await?;
        let outcomes = self.index.write(target, batch).await?;
        self.interceptor.after(call, &outcomes).await?;
        Ok(outcomes)
    }

    async fn update(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let call = IndexCall::Update(batch);
        self.interceptor.before(call).await?;
        let outcomes = self.index.update(target, batch).await?;
        self.interceptor.after(call, &outcomes).await?;
        Ok(outcomes)
    }

    async fn delete(&self, target: &WriteTarget, batch: &[Removal]) -> Result<Vec<Outcome>, IndexError> {
        let call = IndexCall::Delete(batch);
        self.interceptor.before(call).await?;
        let outcomes = self.index.delete(target, batch).await?;
        self.interceptor.after(call, &outcomes).await?;
        Ok(outcomes)
    }

    async fn get(
        &self,
        target: &WriteTarget,
        id: &DocumentId,
    ) -> Result<Option<Map<String, Value>>, IndexError> {
        self.index.get(target, id).await
    }

    async fn list(
        &self,
        target: &WriteTarget,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError> {
        let call = IndexCall::List(limit);
        self.interceptor.before(call).await?;
        let listed = self.index.list(target, after, limit).await?;
        self.interceptor.after(call, &[]).await?;
        Ok(listed)
    }

    async fn remove_shop(&self, target: &WriteTarget) -> Result<Option<u64>, IndexError> {
        self.index.remove_shop(target).await
    }

    fn list_limit(&self) -> Option<u64> {
        self.index.list_limit()
    }

    fn is_per_shop(&self) -> bool {
        self.index.is_per_shop()
    }

    async fn count(&self, target: &WriteTarget) -> Result<u64, IndexError> {
        self.index.count(target).await
    }

    fn load_log(&self) -> Option<&dyn LoadLog> {
        self.index.load_log()
    }
}
