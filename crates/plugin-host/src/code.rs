//! The file format of a compiled plug-in: wasmtime's output with a digest appended. The file begins as wasmtime
//! demands, so that it can be mapped into memory instead of copied. The digest covers the key that the code is found
//! by, so that code in a file with the name of another key is not run.

use crate::Engine;
use host_core::model::Digest;
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, Write},
    os::fd::AsRawFd,
};
use wasmtime::component::Component;

/// Length in bytes of the digest at the end of the file: SHA-256 of the key and the code.
pub(super) const DIGEST_BYTES: u64 = 32;

/// The version of the file format. It is part of each key, so that files of another format are not found.
const FORMAT: &[u8] = b"2";

/// Bytes read at once when a file is checked: few system calls, and small enough for the processor's cache.
const READ_BYTES: usize = 64 << 10;

/// Why compiled code cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodeError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is damaged or the code of another component")]
    Damaged,
    #[error("{0:#}")]
    Rejected(wasmtime::Error),
}

/// The key of a component's code: a digest of everything that the code depends on. `wasm` is the component's own
/// digest.
pub(super) fn key(engine: &Engine, wasm: &Digest) -> Digest {
    Digest::of_parts([FORMAT, wasm.hex().as_bytes(), &engine.fingerprint()])
}

/// Writes compiled code and its digest.
pub(super) fn write(mut file: impl Write, key: &Digest, code: &[u8]) -> io::Result<()> {
    file.write_all(code)?;
    file.write_all(&hasher(key).chain_update(code).finalize())?;
    file.flush()
}

/// Begins the digest with the key; all keys have the same length, so that key and code cannot run into each other.
fn hasher(key: &Digest) -> Sha256 {
    Sha256::new_with_prefix(key.hex())
}

/// Loads compiled code from a file. The caller ([`Cache`](crate::Cache)) vouches that only this user can write the file
/// and that it no longer changes. The digest detects what a broken disk or a crash left, and code written for another
/// key.
pub(super) fn load(engine: &Engine, file: &File, key: &Digest) -> Result<Component, CodeError> {
    check(file, key)?;
    deserialize(engine, file).map_err(CodeError::Rejected)
}

fn check(mut file: &File, key: &Digest) -> Result<(), CodeError> {
    let code_bytes = file.metadata()?.len().checked_sub(DIGEST_BYTES).ok_or(CodeError::Damaged)?;
    file.rewind()?;
    let mut hasher = hasher(key);
    let mut code = BufReader::with_capacity(READ_BYTES, file).take(code_bytes);
    while let block @ [_, ..] = code.fill_buf()? {
        hasher.update(block);
        let read = block.len();
        code.consume(read);
    }
    let mut digest = [0; DIGEST_BYTES as usize];
    code.into_inner().read_exact(&mut digest)?;
    if hasher.finalize().as_slice() == digest { Ok(()) } else { Err(CodeError::Damaged) }
}

#[allow(unsafe_code, reason = "compiled code can only be trusted, never checked")]
fn deserialize(engine: &Engine, mut file: &File) -> wasmtime::Result<Component> {
    // The name of the open file itself, so that what was checked is what is mapped.
    let path = format!("/dev/fd/{}", file.as_raw_fd());
    // SAFETY: `deserialize_file` demands output of wasmtime's compiler in a file that does not change while it is
    // mapped. The file is either an entry of the cache, which has checked that only this user can write it and whose
    // entries are replaced and never changed, or a private file without a name that this process has had the compiler
    // write. Its digest is right.
    let mapped = unsafe { Component::deserialize_file(engine.wasmtime(), &path) };
    mapped.or_else(|_| {
        // A file cannot be mapped if its file system is mounted `noexec` or if there is no /dev/fd: copy it.
        let mut code = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut code)?;
        code.truncate(code.len().saturating_sub(DIGEST_BYTES as usize));
        // SAFETY: as above; the bytes are this process's own.
        unsafe { Component::deserialize(engine.wasmtime(), code) }
    })
}
