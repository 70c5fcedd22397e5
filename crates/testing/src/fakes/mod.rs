//! Fakes of what stands at the pipeline's ends: plug-ins and indexes.

mod rules;

pub use rules::Rules;
