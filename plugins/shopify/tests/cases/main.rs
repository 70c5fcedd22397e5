//! Edge cases of Shopify exports.
//!
//! The cases are this project's own numbered list of what exports have been seen or are documented to contain, in six blocks, one
//! module each. A name such as `case_38_block_elements_separate_words` says number and content. Some cases are settled before
//! a product reaches the transform, by the reader that splits and groups lines, or after it; they have no test here:
//!
//! | cases | about | settled by |
//! | --- | --- | --- |
//! | 1 | an empty export | the reader |
//! | 14, 15, 16 | compressed, huge and partial files | the reader |
//! | 18 (across products), 20 | interleaved products, orphans | the grouping |
//! | 47, 51 | a handle that changed, bundles | nothing to do: ids are stable, availability is the platform's |
//! | 72, 73, 74 | comparing a document with the stored one | the plug-in role that compares versions |

// A helper that cannot go on fails the test that called it.
#![allow(clippy::unwrap_used)]

mod block_a;
mod block_b;
mod block_c;
mod block_d;
mod block_e;
mod block_f;
mod bulk_query;
mod golden;
mod properties;
mod samples;
mod support;
