//! Fakes of what the pipeline calls: plug-ins and indexes; and gates, which hold up or refuse its calls of real stores.

mod index;
mod interceptor;
mod plugin;
mod store_gate;

pub use index::{FakeIndex, FakeIndexState, IndexedDocument, Next};
pub use interceptor::{IndexCall, Intercepted, Interceptor};
pub use plugin::FakePlugin;
pub use store_gate::{GatedStorage, StoreGate, gated, refuse_first};
