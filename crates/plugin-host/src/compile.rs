//! Compiles a component (the WebAssembly of a plug-in), which may be hostile, to machine code. A small file can make
//! the compiler take any time and memory, so it runs in a child process: this program again, which limits itself before
//! it looks at the component, and which the parent kills when its time is over. Both sides are in this file.

use crate::{
    Access, Engine, EngineProfile, Limits, code, engine, fault::megabytes, load::one_line,
    scan::LimitExceeded, untrusted_text::truncate,
};
use host_core::model::Digest;
use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, getppid, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufRead, Read, Seek, Write},
    os::{fd::AsFd, unix::process::ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::mpsc::channel,
    thread::{self, available_parallelism},
    time::Duration,
};

/// The argument that makes a program the compiler; see [`compile_for_parent`].
pub const COMPILE_COMMAND: &str = "compile-plugin";

/// The most threads of the compiler: more gain little, and each takes address space.
const THREADS: usize = 8;

/// How often the compiler checks whether its parent process lives.
const PARENT_CHECK: Duration = Duration::from_millis(100);

/// Bytes of stack of the thread that checks this.
const PARENT_CHECK_STACK: usize = 64 << 10;

/// The most bytes of the compiler's standard error that are read.
const STDERR_BYTES: u64 = 16 << 10;

/// The most characters of it that go into an error message.
const CAUSE_CHARACTERS: usize = 600;

/// The exit code of a compiler that refuses the component; what is wrong with it is on standard error.
const REFUSED: u8 = 3;

/// The exit code of a compiler that cannot write the code.
const UNWRITABLE: u8 = 4;

/// What a compiler without memory writes to standard error: an aborting Rust program, wasmtime, the operating system.
const NO_MEMORY: [&str; 3] = ["memory allocation of", "out of memory", "Cannot allocate memory"];

/// Where components are compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compiler {
    /// In this process, without limits of time and memory: for components that are trusted, and for tests.
    #[default]
    InProcess,
    /// In a child process, a program that calls [`compile_for_parent`].
    Child {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        args: Vec<OsString>,
    },
}

/// Why there is no compiled code.
#[derive(Debug)]
pub(super) enum CompileError {
    /// The compiler refuses the component, or crashed on it; the text says why.
    Invalid(String),
    /// Compiling the component breaks a limit.
    Limit(LimitExceeded),
    /// The compiler cannot write the code to the file that it was given.
    Unwritable(io::Error),
    /// The compiler could not be started, or not be waited for.
    Failed(io::Error),
}

/// What the parent writes to the compiler's standard input: this as a line of JSON, and after it the component.
#[derive(Serialize, Deserialize)]
struct Request {
    /// Process id of the parent.
    parent: i32,
    profile: EngineProfile,
    access: Access,
    memory_bytes: usize,
    compile_memory_bytes: u64,
    code_bytes: u64,
    cpu_seconds: u64,
    /// The key that the compiled code is found by in the cache; part of the digest in the file.
    key: Digest,
}

impl Compiler {
    /// This program as the compiler. Its `main` must call [`compile_for_parent`] when the first argument is
    /// [`COMPILE_COMMAND`].
    pub fn this_program() -> io::Result<Self> {
        Ok(Self::Child { program: std::env::current_exe()?, args: vec![COMPILE_COMMAND.into()] })
    }
}

/// Compiles a component in a child process, which writes the code to a file.
pub(super) fn compile(
    command: Command,
    engine: &Engine,
    limits: &Limits,
    wasm: &[u8],
    key: &Digest,
    code: &File,
) -> Result<(), CompileError> {
    let ended = run(command, engine, limits, wasm, key, code).map_err(CompileError::Failed)?;
    let too_slow = || {
        let (does, value) = ("takes longer to compile than".to_owned(), format!("{} ms", limits.compile_ms));
        CompileError::Limit(LimitExceeded { does, limit: "compile_ms", value })
    };
    let Some((status, stderr)) = ended else { return Err(too_slow()) };
    if status.success() {
        return Ok(());
    }
    if NO_MEMORY.iter().any(|words| stderr.contains(words)) {
        let (does, value) =
            ("takes more memory to compile than".to_owned(), megabytes(limits.compile_memory_bytes as usize));
        return Err(CompileError::Limit(LimitExceeded { does, limit: "compile_memory_bytes", value }));
    }
    if status.code() == Some(REFUSED.into()) {
        return Err(CompileError::Invalid(truncate(&stderr, CAUSE_CHARACTERS)));
    }
    if status.code() == Some(UNWRITABLE.into()) {
        return Err(CompileError::Unwritable(io::Error::other(stderr)));
    }
    if status.signal() == Some(Signal::XCPU.as_raw()) {
        return Err(too_slow());
    }
    if status.signal() == Some(Signal::XFSZ.as_raw()) {
        let (does, value) =
            ("compiles to more machine code than".to_owned(), megabytes(limits.code_bytes as usize));
        return Err(CompileError::Limit(LimitExceeded { does, limit: "code_bytes", value }));
    }
    Err(CompileError::Invalid(format!("the compiler crashed on it ({status})")))
}

/// Runs the compiler. Returns its exit status and what it wrote to standard error; `None` if it was killed because its
/// time was over.
fn run(
    mut command: Command,
    engine: &Engine,
    limits: &Limits,
    wasm: &[u8],
    key: &Digest,
    code: &File,
) -> io::Result<Option<(ExitStatus, String)>> {
    let threads = available_parallelism().map_or(1, |threads| threads.get().min(THREADS));
    let request = Request {
        parent: getpid().as_raw_pid(),
        profile: engine.profile(),
        access: engine.access(),
        memory_bytes: engine.memory_bytes(),
        compile_memory_bytes: limits.compile_memory_bytes,
        code_bytes: limits.code_bytes,
        key: *key,
        cpu_seconds: limits.compile_ms.div_ceil(1_000).saturating_mul(threads as u64).saturating_add(1),
    };
    // A file and not a pipe, because a child that does not read would block this thread.
    let input = input(&request, wasm).map_err(|error| temp_dir_unwritable(&error))?;
    let mut child = Running(
        command
            // The environment may hold secrets, and a hostile component may exploit a fault of the compiler.
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.to_string())
            // By default glibc gives each thread a heap of its own, which would use up the address space.
            .env("MALLOC_ARENA_MAX", "2")
            .stdin(input)
            .stdout(code.try_clone()?)
            .stderr(Stdio::piped())
            .spawn()?,
    );
    let stderr = child.0.stderr.take();
    let (sender, receiver) = channel();
    let listener = thread::Builder::new().name("plugin-compile".to_owned()).spawn(move || {
        let mut text = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = (&mut stderr).take(STDERR_BYTES).read_to_end(&mut text);
            let _ = io::copy(&mut stderr, &mut io::sink());
        }
        // The child's standard error ends when the child ends. The receiver is gone if the time was over before.
        let _ = sender.send(text);
    });
    let text = match listener {
        Ok(_) => receiver.recv_timeout(Duration::from_millis(limits.compile_ms)).ok(),
        Err(_) => None,
    };
    if text.is_none() {
        child.0.kill()?;
    }
    let status = child.0.wait()?;
    listener?;
    Ok(text.map(|text| (status, String::from_utf8_lossy(&text).into_owned())))
}

/// A temporary file with a request and the component.
fn input(request: &Request, wasm: &[u8]) -> io::Result<File> {
    let mut input = tempfile::tempfile()?;
    serde_json::to_writer(&input, request)?;
    input.write_all(b"\n")?;
    input.write_all(wasm)?;
    input.rewind()?;
    Ok(input)
}

/// The error for a temporary file that cannot be written; it names the folder for temporary files.
pub(super) fn temp_dir_unwritable(error: &io::Error) -> io::Error {
    let (folder, text) = (std::env::temp_dir(), error.to_string());
    // The error of `tempfile` may end with ` at path …`, which would name the folder again.
    let why = text.split(" at path ").next().unwrap_or(&text);
    io::Error::new(
        error.kind(),
        format!("the folder for temporary files {} cannot be written: {why}", folder.display()),
    )
}

/// The compiler's process, which is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The compiler's side: reads a request from standard input, limits this process, compiles, and writes the code to
/// standard output. Call it at the very start of `main`, before other threads run.
pub fn compile_for_parent() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, cause)) => {
            eprint!("{cause}");
            ExitCode::from(code)
        }
    }
}

fn serve() -> Result<(), (u8, String)> {
    let (key, code) = code().map_err(|cause| (REFUSED, cause))?;
    // Not through `Stdout`, which would search the machine code for line ends.
    let output = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    output.and_then(|file| code::write(file, &key, &code)).map_err(|error| (UNWRITABLE, error.to_string()))
}

/// Reads the request and compiles; returns the code and its key.
fn code() -> Result<(Digest, Vec<u8>), String> {
    let text = |error: io::Error| error.to_string();
    let (mut input, mut line, mut wasm) = (io::stdin().lock(), String::new(), Vec::new());
    input.read_line(&mut line).map_err(text)?;
    let request: Request = serde_json::from_str(&line).map_err(|error| error.to_string())?;
    exit_with_parent(request.parent).map_err(text)?;
    limit(Resource::As, request.compile_memory_bytes)?;
    limit(Resource::Cpu, request.cpu_seconds)?;
    limit(Resource::Core, 0)?;
    // The signal SIGXFSZ kills this process when it writes a larger file.
    limit(Resource::Fsize, request.code_bytes.saturating_add(code::DIGEST_BYTES))?;
    input.read_to_end(&mut wasm).map_err(text)?;
    let engine = engine::compiler(request.profile, request.access, request.memory_bytes)
        .map_err(|error| error.to_string())?;
    let code = engine.precompile_component(&wasm).map_err(|error| one_line(&error))?;
    Ok((request.key, code))
}

/// Ends this process when its parent has ended, however that happened: nothing else would stop the compiler.
fn exit_with_parent(parent: i32) -> io::Result<()> {
    // By polling, because only Linux has a signal for it, which is sent as soon as the parent's thread that started the
    // child ends.
    let watch = move || {
        while getppid().map(Pid::as_raw_pid) == Some(parent) {
            thread::sleep(PARENT_CHECK);
        }
        std::process::exit(UNWRITABLE.into());
    };
    let thread = thread::Builder::new().name("parent-watch".to_owned()).stack_size(PARENT_CHECK_STACK);
    thread.spawn(watch).map(drop)
}

/// Lowers a limit of this process, for good.
fn limit(resource: Resource, value: u64) -> Result<(), String> {
    let allowed = getrlimit(resource).maximum.map_or(value, |maximum| maximum.min(value));
    let both = Rlimit { current: Some(allowed), maximum: Some(allowed) };
    setrlimit(resource, both).map_err(|error| format!("the compiler cannot limit itself: {error}"))
}
