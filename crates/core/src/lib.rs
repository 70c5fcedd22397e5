//! The domain of host, the program that writes a shop's product export into a search index or a relational catalog:
//! plain data, the ports (traits) of storage, index and plug-ins, the clock, and the names of metrics.
//!
//! Every other crate may use this one. Of the workspace it uses only `host-index-rules`; it does no I/O and knows no
//! backend. [`model`] holds the data; [`storage`], [`index`] and [`plugin`] hold the traits that backends implement.
//!
//! ```
//! use host_core::model::{Counts, Document, JobStatus, Product};
//!
//! // A plug-in makes documents of products. A document is one line of a chunk: the unit of queueing, retry and counts.
//! // Its id is safe in URLs.
//! let product = Product { text: r#"{"id":"7","title":"Mug"}"#.to_owned(), line: 1, id: Some("7".to_owned()) };
//! let document = Document::from_line(r#"{"_id":"7","title":"Mug","variants":[{"id":"71"}]}"#)?;
//! assert_eq!(Some(document.id.as_str()), product.id.as_deref());
//! assert_eq!(document.batch_weight(), 2);
//! assert!(Document::from_line(r#"{"_id":"a/b"}"#).is_err());
//!
//! // Each item ends in exactly one class, and the classes decide the status of the job.
//! let mut counts = Counts { processed: 2, unchanged: 1, ..Counts::default() };
//! counts += Counts { failed: 1, ..Counts::default() };
//! assert_eq!(counts.total(), 3);
//! assert_eq!(JobStatus::from_final_counts(&counts), JobStatus::Failed);
//! # Ok::<(), host_core::model::document::InvalidDocument>(())
//! ```

pub mod backoff;
pub mod clock;
pub mod error;
pub mod format;
pub mod index;
pub mod metrics;
pub mod model;
pub mod plugin;
pub mod report_codes;
pub mod seconds;
pub mod secret;
pub mod storage;
