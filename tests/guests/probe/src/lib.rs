//! A plug-in that tries what WASI (the standard system interfaces of WebAssembly) lets it do. It is built for
//! wasm32-wasip2, so that Rust's standard library imports WASI. A product's id says what to try; the product's document
//! has the result. `probe.js` and `probe.py` do the same in their languages.

#[cfg(target_os = "wasi")]
mod component;
#[cfg(target_os = "wasi")]
mod greed;
