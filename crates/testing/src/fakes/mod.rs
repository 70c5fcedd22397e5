//! Fakes of both ends of the pipeline, plug-ins and indexes, and what stands between the pipeline and its stores.

mod index;
mod interceptor;
mod plugin;
mod stores;

pub use index::{FakeIndex, FakeIndexState, IndexedDocument, Next};
pub use interceptor::{IndexCall, Intercepted, Interceptor};
pub use plugin::FakePlugin;
pub use stores::{
    InterceptedStorage, StoreCall, StoreGate, StoreInterceptor, Subject, intercepted, refuse_first,
};
