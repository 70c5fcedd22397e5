//! Fakes of both ends of the pipeline: plug-ins and indexes.

mod index;
mod interceptor;
mod rules;

pub use index::{FakeIndex, FakeIndexState, Held, Next};
pub use interceptor::{IndexCall, Intercepted, Interceptor};
pub use rules::Rules;
