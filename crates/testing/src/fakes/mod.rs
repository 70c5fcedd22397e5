//! Fakes of both ends of the pipeline, plug-ins and indexes, and what stands between the pipeline and its stores.

mod index;
mod interceptor;
mod plugin;
mod store_gate;

pub use index::{FakeIndex, FakeIndexState, IndexedDocument, Next};
pub use interceptor::{IndexCall, Intercepted, Interceptor};
pub use plugin::FakePlugin;
pub use store_gate::{GatedStorage, StoreGate, gated, refuse_first};
