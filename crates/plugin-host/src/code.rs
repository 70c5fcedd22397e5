//! Compiled code in a file: the output of the compiler and a digest appended, so that the file begins as wasmtime wants it and can
//! be mapped instead of copied. The digest covers the key that the code is found by, so that code under another name is not run.

use crate::Engine;
use host_core::model::Digest;
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, Write},
    os::fd::AsRawFd,
};
use wasmtime::component::Component;

/// SHA-256 of the key and the code.
pub(super) const DIGEST_BYTES: u64 = 32;

/// The form of the file; another one has other keys, so that the files of earlier releases are not found.
const FORM: &[u8] = b"2";

/// Read at once when code is checked: few calls, and small enough for the processor's cache.
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

/// The key of a component's code: the component, and everything that the code depends on.
pub(super) fn key(engine: &Engine, wasm: &Digest) -> Digest {
    Digest::of_parts([FORM, wasm.hex().as_bytes(), &engine.fingerprint()])
}

/// Writes compiled code.
pub(super) fn write(mut file: impl Write, key: &Digest, code: &[u8]) -> io::Result<()> {
    file.write_all(code)?;
    file.write_all(&hasher(key).chain_update(code).finalize())?;
    file.flush()
}

/// Begins the digest of the code with a key; all keys are of the same length.
fn hasher(key: &Digest) -> Sha256 {
    Sha256::new_with_prefix(key.hex())
}

/// Loads compiled code from a file that only this user can write and that no longer changes: the caller vouches for that, see
/// [`Cache`](crate::Cache). The digest detects what a broken disk or a crash left, and code that was written under another key.
pub(super) fn load(engine: &Engine, file: &File, key: &Digest) -> Result<Component, CodeError> {
    check(file, key)?;
    deserialize(engine, file).map_err(CodeError::Rejected)
}

fn check(mut file: &File, key: &Digest) -> Result<(), CodeError> {
    let code_bytes = file.metadata()?.len().checked_sub(DIGEST_BYTES).ok_or(CodeError::Damaged)?;
    file.rewind()?;
    let mut hasher = hasher(key);
    let mut code = BufReader::with_capacity(READ_BYTES, file).take(code_bytes);
    while let some @ [_, ..] = code.fill_buf()? {
        hasher.update(some);
        let read = some.len();
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
    // SAFETY: `deserialize_file` asks for what the compiler has made, and that the file does not change while it is mapped.
    // The file is either an entry of the cache, which has checked that only this user can write it and whose entries are replaced
    // and never changed, or a private file without a name that this process has had the compiler write; its digest is right.
    let mapped = unsafe { Component::deserialize_file(engine.wasmtime(), &path) };
    mapped.or_else(|_| {
        // Where file systems are mounted `noexec`, or there is no /dev/fd: a copy.
        let mut code = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut code)?;
        code.truncate(code.len().saturating_sub(DIGEST_BYTES as usize));
        // SAFETY: as above; the bytes are this process's own.
        unsafe { Component::deserialize(engine.wasmtime(), code) }
    })
}
