//! Fakes of both ends of the pipeline: plug-ins and indexes.

mod index;
mod interceptor;
mod plugin;

pub use index::{FakeIndex, FakeIndexState, IndexedDocument, Next};
pub use interceptor::{IndexCall, Intercepted, Interceptor};
pub use plugin::FakePlugin;
