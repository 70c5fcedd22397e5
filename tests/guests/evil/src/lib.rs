//! A plug-in that misbehaves in the way that its configuration names: `{"do":"loop"}`. Without a configuration it
//! behaves: each line `{"id":"p1","title":"..."}` becomes one document, every document is accepted, and every version
//! is newer than what is stored. `{"do":"verbatim"}` returns documents as the lines have them, and judges nothing.

#[cfg(target_arch = "wasm32")]
mod attacks;
mod behaviour;
#[cfg(target_arch = "wasm32")]
mod component;
