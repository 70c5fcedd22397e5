//! A plug-in for tests that misbehaves in the way that its configuration names: `{"do":"loop"}`. Without a
//! configuration it is good: each line `{"id":"p1","title":"..."}` becomes one document, every document is accepted,
//! and every version is newer than the stored one. With `{"do":"verbatim"}` it returns the fields of each line
//! unchecked.

#[cfg(target_arch = "wasm32")]
mod attacks;
mod behaviour;
#[cfg(target_arch = "wasm32")]
mod component;
