//! The relational catalog.
