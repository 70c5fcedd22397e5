//! A plug-in of Rust's standard library for wasm32-wasip2, which imports WASI unasked. A product's id is what it is to
//! try; the document has what came of it. `probe.js` and `probe.py` do the same in their languages.

#[cfg(target_os = "wasi")]
mod component;
#[cfg(target_os = "wasi")]
mod greed;
