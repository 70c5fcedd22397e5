//! Something between the stores and the models of their services.

use super::{sqs, table};
use async_trait::async_trait;
use host_core::storage::StoreError;
use host_storage_aws::{
    Condition, Depth, Incoming, Item, Key, Outgoing, QueueService, QueueSpec, ReceiveRequest, Table,
    TableError, Update, Updated,
};
use std::{sync::Arc, time::Duration};

/// A call of a [`Table`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum TableCall<'a> {
    Get,
    Update(&'a Update),
    Delete(&'a Key),
    DeleteWhen,
    Query,
    Scan,
}

/// Watches, delays or fails the calls of a table: it makes each by awaiting `answer`, or does not make it.
pub(crate) trait TableInterceptor: Send + Sync {
    fn of_table<T: Send>(
        &self,
        call: TableCall<'_>,
        answer: impl Future<Output = Result<T, TableError>> + Send,
    ) -> impl Future<Output = Result<T, TableError>> + Send;
}

/// A table behind an interceptor.
pub(crate) struct InterceptedTable<I>(pub(crate) Arc<table::Model>, pub(crate) Arc<I>);

#[async_trait]
impl<I: TableInterceptor> Table for InterceptedTable<I> {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        self.1.of_table(TableCall::Get, self.0.get(key)).await
    }

    async fn update(&self, update: &Update) -> Result<Updated, TableError> {
        self.1.of_table(TableCall::Update(update), self.0.update(update)).await
    }

    async fn delete(&self, key: &Key) -> Result<bool, TableError> {
        self.1.of_table(TableCall::Delete(key), self.0.delete(key)).await
    }

    async fn delete_when(&self, key: &Key, when: &Condition) -> Result<bool, TableError> {
        self.1.of_table(TableCall::DeleteWhen, self.0.delete_when(key, when)).await
    }

    async fn query(
        &self,
        pk: &str,
        prefix: &str,
        newest_first: bool,
        limit: Option<usize>,
    ) -> Result<Vec<Item>, TableError> {
        self.1.of_table(TableCall::Query, self.0.query(pk, prefix, newest_first, limit)).await
    }

    async fn get_batch(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, TableError> {
        self.1.of_table(TableCall::Get, self.0.get_batch(keys)).await
    }

    async fn scan(
        &self,
        name: &'static str,
        text: &str,
        after: Option<Key>,
    ) -> Result<(Vec<Key>, Option<Key>), TableError> {
        self.1.of_table(TableCall::Scan, self.0.scan(name, text, after)).await
    }
}

/// A call of a [`QueueService`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueCall<'a> {
    /// The name of the method.
    pub(crate) name: &'static str,
    /// The queue's URL, or its name if it is looked for or created; none where it is about all queues.
    pub(crate) queue: Option<&'a str>,
}

/// Watches, delays or fails the calls of queues: it makes each by awaiting `answer`, or does not make it.
pub(crate) trait QueueInterceptor: Send + Sync {
    fn of_queue<T: Send>(
        &self,
        call: QueueCall<'_>,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;

    /// So many queues were listed by a call.
    fn listed(&self, _queues: usize) {}
}

/// Queues behind an interceptor.
pub(crate) struct InterceptedQueues<I>(pub(crate) Arc<sqs::Model>, pub(crate) Arc<I>);

impl<I: QueueInterceptor> InterceptedQueues<I> {
    async fn call<T: Send>(
        &self,
        name: &'static str,
        queue: &str,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.1.of_queue(QueueCall { name, queue: Some(queue) }, answer).await
    }
}

#[async_trait]
impl<I: QueueInterceptor> QueueService for InterceptedQueues<I> {
    async fn find(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.call("find", name, self.0.find(name)).await
    }

    async fn create(&self, spec: &QueueSpec) -> Result<String, StoreError> {
        self.call("create", &spec.name, self.0.create(spec)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        let listed = self.1.of_queue(QueueCall { name: "list", queue: None }, self.0.list(prefix)).await?;
        self.1.listed(listed.len());
        Ok(listed)
    }

    async fn shop(&self, url: &str) -> Result<Option<String>, StoreError> {
        self.call("shop", url, self.0.shop(url)).await
    }

    async fn send(&self, url: &str, message: &Outgoing) -> Result<bool, StoreError> {
        self.call("send", url, self.0.send(url, message)).await
    }

    async fn receive(
        &self,
        url: &str,
        request: &ReceiveRequest,
    ) -> Result<Option<Vec<Incoming>>, StoreError> {
        self.call("receive", url, self.0.receive(url, request)).await
    }

    async fn change_visibility(
        &self,
        url: &str,
        handle: &str,
        visibility: Duration,
    ) -> Result<bool, StoreError> {
        self.call("change_visibility", url, self.0.change_visibility(url, handle, visibility)).await
    }

    async fn delete(&self, url: &str, handle: &str) -> Result<bool, StoreError> {
        self.call("delete", url, self.0.delete(url, handle)).await
    }

    async fn depth(&self, url: &str) -> Result<Depth, StoreError> {
        self.call("depth", url, self.0.depth(url)).await
    }

    async fn remove(&self, url: &str) -> Result<(), StoreError> {
        self.call("remove", url, self.0.remove(url)).await
    }
}
