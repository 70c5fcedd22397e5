//! Fakes of what the pipeline calls: plug-ins and indexes; and gates, which hold up or refuse its calls of real stores.

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
