//! An inert WASI 0.2, for toolchains that import it unasked. It grants nothing: what a function answers follows from its
//! type alone, the emptiest value that there is. So every number is zero (clocks stand still at 1970-01-01T00:00:00Z), every
//! list and option is empty (no arguments, variables, folders), and whatever may fail does (files, sockets, requests). The
//! few functions that need more are the cases of [`Answer`].

use crate::sandbox::{Line, Sandbox};
use serde::{Deserialize, Serialize};
use wasmtime::{
    StoreContextMut,
    component::{
        Component, Linker, Resource, ResourceAny, ResourceType, Type, Val,
        types::{ComponentFunc, ComponentItem},
    },
};

/// What a plug-in gets that imports WASI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Wasi {
    /// One that grants nothing: clocks stand still, random numbers are the same in each call, files and sockets fail
    #[default]
    Inert,
    /// None: such a plug-in is refused
    None,
}

/// Versions of WASI that the host answers for; 0.3 is another ABI.
const VERSIONS: &str = "0.2.";

/// Bytes that a stream takes at once.
const WRITE_BYTES: u64 = 4096;

/// Bytes after which a line is cut that does not end.
const LINE_BYTES: usize = 4096;

/// Random bytes that are made at once.
const RANDOM_BYTES: u64 = 64 << 10;

/// Where the random numbers of each call begin.
const SEED: u64 = 0x5eed;

/// How errors are called that say that something is not granted.
const REFUSALS: [&str; 5] = ["not-permitted", "access-denied", "HTTP-request-denied", "forbidden", "closed"];

/// Handles of standard output and error. Other handles have no state and need no number.
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// What an import of WASI means for the plug-in; none if the host does not answer for it.
pub(super) fn meaning(import: &str) -> Option<&'static str> {
    let (package, interface) = parse(import)?;
    Some(match (package, interface) {
        ("cli", "environment") => "no arguments, no variables",
        ("cli", "exit") => "ends the call like a trap",
        ("cli", "stdin") => "empty",
        ("cli", "stdout" | "stderr") => "goes to the log",
        ("cli", _) => "there is no terminal",
        ("clocks", _) => "stands still at 1970-01-01T00:00:00Z",
        ("filesystem", _) => "no files: opening one fails",
        ("http", _) => "no network: a request fails",
        ("io", "poll") => "waiting ends at once",
        ("io", _) => "what the others are made of",
        ("random", _) => "the same numbers in each call",
        ("sockets", _) => "no network: opening a socket fails",
        _ => return None,
    })
}

/// Whether an import is WASI of any kind.
pub(super) fn is_wasi(import: &str) -> bool {
    import.starts_with("wasi:")
}

/// Package and interface of an import of WASI 0.2.
fn parse(import: &str) -> Option<(&str, &str)> {
    let (package, rest) = import.strip_prefix("wasi:")?.split_once('/')?;
    let (interface, version) = rest.split_once('@')?;
    version.starts_with(VERSIONS).then_some((package, interface))
}

/// Defines what a component imports of WASI, as its own type has it.
pub(super) fn add_to_linker(linker: &mut Linker<Sandbox>, component: &Component) -> wasmtime::Result<()> {
    let engine = component.engine();
    for (import, item) in component.component_type().imports(engine) {
        let (Some((package, interface)), ComponentItem::ComponentInstance(instance)) =
            (parse(import), item.ty)
        else {
            continue;
        };
        let mut linked = linker.instance(import)?;
        for (name, item) in instance.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let answer = Answer::of(package, interface, name);
                    linked
                        .func_new(name, move |store, ty, given, said| answer.give(store, &ty, given, said))?;
                }
                // One type for all resources: which is which was checked when the component was compiled.
                ComponentItem::Resource(_) => {
                    linked.resource(name, ResourceType::host::<Handle>(), |mut store, _| {
                        store.data_mut().wasi.close();
                        Ok(())
                    })?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The host's side of any resource.
struct Handle;

/// What a guest did that ends its call.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misdeed {
    #[error("it called exit")]
    Exit,
    #[error("it holds more than {0} handles of WASI")]
    Handles(usize),
    #[error("it asked for {0} random bytes; {RANDOM_BYTES} are made at once")]
    Random(u64),
    #[error("it waits for nothing, which never ends")]
    Wait,
    #[error("the inert WASI has no answer for it")]
    NoAnswer,
}

/// What the inert WASI keeps for an instance.
#[derive(Debug)]
pub(super) struct State {
    handles: usize,
    most_handles: usize,
    random: u64,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl State {
    pub(super) fn new(most_handles: usize) -> Self {
        Self { handles: 0, most_handles, random: SEED, stdout: Vec::new(), stderr: Vec::new() }
    }

    /// Begins a call: it sees the same random numbers, whatever the instance has done before.
    pub(super) fn begin(&mut self) {
        self.random = SEED;
    }

    /// Counts a handle that the guest gets. The engine keeps it in a table of the host's, hence the bound.
    fn open(&mut self) -> Result<(), Misdeed> {
        if self.handles >= self.most_handles {
            return Err(Misdeed::Handles(self.most_handles));
        }
        self.handles += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.handles = self.handles.saturating_sub(1);
    }

    /// The next random number, by SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Sandbox {
    /// Writes what a guest puts out to the log, line by line.
    fn put_out(&mut self, stream: u32, bytes: impl Iterator<Item = u8>) {
        for byte in bytes {
            let line = if stream == STDERR { &mut self.wasi.stderr } else { &mut self.wasi.stdout };
            if byte != b'\n' {
                line.push(byte);
            }
            if byte == b'\n' || line.len() >= LINE_BYTES {
                self.end_line(stream);
            }
        }
    }

    fn end_line(&mut self, stream: u32) {
        let (line, level) = match stream {
            STDERR => (&mut self.wasi.stderr, tracing::Level::WARN),
            _ => (&mut self.wasi.stdout, tracing::Level::INFO),
        };
        let message = String::from_utf8_lossy(line).into_owned();
        line.clear();
        self.log.write(Line { level, message });
    }

    /// Ends a call: what was written without a line's end goes to the log as well.
    pub(super) fn end_lines(&mut self) {
        for stream in [STDOUT, STDERR] {
            let line = if stream == STDERR { &self.wasi.stderr } else { &self.wasi.stdout };
            if !line.is_empty() {
                self.end_line(stream);
            }
        }
    }
}

/// What a function of WASI answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The emptiest value of its type; a refusal if it may fail.
    Nothing,
    /// Never.
    Exit,
    /// A stream of this number.
    Stream(u32),
    /// How much may be written.
    Permit,
    /// That it was written, to the log.
    Write,
    /// That it was done, though there is nothing to do.
    Done,
    /// Yes.
    Yes,
    /// All of what was asked about.
    All,
    /// That many bytes.
    RandomBytes,
    RandomNumber,
}

impl Answer {
    fn of(package: &str, interface: &str, function: &str) -> Self {
        match (package, interface, function) {
            ("cli", "exit", _) => Self::Exit,
            ("cli", "stdout", "get-stdout") => Self::Stream(STDOUT),
            ("cli", "stderr", "get-stderr") => Self::Stream(STDERR),
            ("io", "streams", _) => match function.strip_prefix("[method]output-stream.") {
                Some("check-write") => Self::Permit,
                Some("write" | "blocking-write-and-flush") => Self::Write,
                Some("flush" | "blocking-flush") => Self::Done,
                _ => Self::Nothing,
            },
            ("io", "poll", "[method]pollable.ready") => Self::Yes,
            ("io", "poll", "poll") => Self::All,
            ("random", _, "get-random-bytes" | "get-insecure-random-bytes") => Self::RandomBytes,
            ("random", _, "get-random-u64" | "get-insecure-random-u64") => Self::RandomNumber,
            _ => Self::Nothing,
        }
    }

    fn give(
        self,
        mut store: StoreContextMut<'_, Sandbox>,
        ty: &ComponentFunc,
        given: &[Val],
        said: &mut [Val],
    ) -> wasmtime::Result<()> {
        let handle = given.iter().try_fold(None, |first, value| {
            let handle = take_back(&mut store, value)?;
            Ok::<_, wasmtime::Error>(first.or(handle))
        })?;
        let succeeded = |value: Option<Val>| Val::Result(Ok(value.map(Box::new)));
        let answer = match (self, given) {
            (Self::Exit, _) => return Err(Misdeed::Exit.into()),
            (Self::Stream(number), _) => new_handle(&mut store, number)?,
            (Self::Permit, _) => succeeded(Some(Val::U64(WRITE_BYTES))),
            (Self::Write, [_, Val::List(bytes)]) => {
                let bytes =
                    bytes.iter().filter_map(|byte| if let Val::U8(byte) = byte { Some(*byte) } else { None });
                store.data_mut().put_out(handle.unwrap_or(STDOUT), bytes);
                succeeded(None)
            }
            (Self::Done, _) => succeeded(None),
            (Self::Yes, _) => Val::Bool(true),
            (Self::All, [Val::List(asked)]) if asked.is_empty() => return Err(Misdeed::Wait.into()),
            (Self::All, [Val::List(asked)]) => Val::List((0..).map(Val::U32).take(asked.len()).collect()),
            (Self::RandomBytes, [Val::U64(bytes)]) if *bytes > RANDOM_BYTES => {
                return Err(Misdeed::Random(*bytes).into());
            }
            (Self::RandomBytes, [Val::U64(bytes)]) => {
                let state = &mut store.data_mut().wasi;
                Val::List((0..*bytes).map(|_| Val::U8(state.random() as u8)).collect())
            }
            (Self::RandomNumber, _) => Val::U64(store.data_mut().wasi.random()),
            // Also what has one of the names above and another type: the engine compares the answer with the type.
            _ => match ty.results().next() {
                Some(ty) => nothing(&mut store, &ty)?,
                None => return Ok(()),
            },
        };
        match said.first_mut() {
            Some(said) => *said = answer,
            None => return Err(Misdeed::NoAnswer.into()),
        }
        Ok(())
    }
}

/// Gives a handle to the guest.
fn new_handle(store: &mut StoreContextMut<'_, Sandbox>, number: u32) -> wasmtime::Result<Val> {
    store.data_mut().wasi.open()?;
    Ok(Val::Resource(ResourceAny::try_from_resource(Resource::<Handle>::new_own(number), store)?))
}

/// Takes back the handles in a value that the guest gave, lent ones and owned ones; the number of the first one.
fn take_back(store: &mut StoreContextMut<'_, Sandbox>, value: &Val) -> wasmtime::Result<Option<u32>> {
    let parts: Vec<&Val> = match value {
        Val::Resource(handle) => {
            let handle: Resource<Handle> = handle.try_into_resource(&mut *store)?;
            if handle.owned() {
                store.data_mut().wasi.close();
            }
            return Ok(Some(handle.rep()));
        }
        // Bytes are many and have no handles in them.
        Val::List(values) if !matches!(values.first(), Some(Val::U8(_))) => values.iter().collect(),
        Val::Tuple(values) => values.iter().collect(),
        Val::Record(fields) => fields.iter().map(|(_, value)| value).collect(),
        Val::Variant(_, Some(value)) | Val::Option(Some(value)) => vec![value],
        Val::Result(Ok(Some(value)) | Err(Some(value))) => vec![value],
        _ => Vec::new(),
    };
    let mut first = None;
    for part in parts {
        first = first.or(take_back(store, part)?);
    }
    Ok(first)
}

/// The emptiest value of a type.
fn nothing(store: &mut StoreContextMut<'_, Sandbox>, ty: &Type) -> wasmtime::Result<Val> {
    Ok(match ty {
        Type::Bool => Val::Bool(false),
        Type::S8 => Val::S8(0),
        Type::U8 => Val::U8(0),
        Type::S16 => Val::S16(0),
        Type::U16 => Val::U16(0),
        Type::S32 => Val::S32(0),
        Type::U32 => Val::U32(0),
        Type::S64 => Val::S64(0),
        Type::U64 => Val::U64(0),
        Type::Float32 => Val::Float32(0.0),
        Type::Float64 => Val::Float64(0.0),
        Type::String => Val::String(String::new()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Flags(_) => Val::Flags(Vec::new()),
        Type::Own(_) => new_handle(store, 0)?,
        Type::Result(result) => {
            Val::Result(Err(result.err().map(|error| refusal(store, &error)).transpose()?.map(Box::new)))
        }
        Type::Record(record) => Val::Record(
            record
                .fields()
                .map(|field| Ok((field.name.to_owned(), nothing(store, &field.ty)?)))
                .collect::<wasmtime::Result<_>>()?,
        ),
        Type::Tuple(tuple) => {
            Val::Tuple(tuple.types().map(|ty| nothing(store, &ty)).collect::<wasmtime::Result<_>>()?)
        }
        Type::Enum(_) | Type::Variant(_) => case(store, ty, |_| true)?,
        _ => return Err(Misdeed::NoAnswer.into()),
    })
}

/// The error that says that something is not granted.
fn refusal(store: &mut StoreContextMut<'_, Sandbox>, ty: &Type) -> wasmtime::Result<Val> {
    match ty {
        Type::Enum(_) | Type::Variant(_) => {
            case(store, ty, |name| REFUSALS.contains(&name)).or_else(|_| nothing(store, ty))
        }
        _ => nothing(store, ty),
    }
}

/// The first case of a variant or an enum whose name is wanted.
fn case(
    store: &mut StoreContextMut<'_, Sandbox>,
    ty: &Type,
    is_wanted: impl Fn(&str) -> bool,
) -> wasmtime::Result<Val> {
    match ty {
        Type::Enum(names) => names
            .names()
            .find(|name| is_wanted(name))
            .map(|name| Val::Enum(name.to_owned()))
            .ok_or_else(|| Misdeed::NoAnswer.into()),
        Type::Variant(variant) => {
            let case = variant.cases().find(|case| is_wanted(case.name)).ok_or(Misdeed::NoAnswer)?;
            let payload = case.ty.map(|ty| nothing(store, &ty)).transpose()?;
            Ok(Val::Variant(case.name.to_owned(), payload.map(Box::new)))
        }
        _ => Err(Misdeed::NoAnswer.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_answers_for_has_a_meaning() {
        assert_eq!(meaning("wasi:cli/exit@0.2.12"), Some("ends the call like a trap"));
        for other in ["wasi:nn/tensor@0.2.0", "wasi:cli/exit@0.3.0", "wasi:cli/exit", "cli/exit@0.2.0"] {
            assert_eq!(meaning(other), None, "{other}");
        }
    }

    #[test]
    fn random_numbers_begin_anew_with_each_call() {
        let mut state = State::new(1);
        let first = [state.random(), state.random()];
        state.begin();
        assert_eq!([state.random(), state.random()], first);
        assert_ne!(first[0], first[1]);
    }

    #[test]
    fn handles_are_counted() {
        let mut state = State::new(2);
        assert!(state.open().is_ok() && state.open().is_ok());
        assert_eq!(state.open().unwrap_err().to_string(), "it holds more than 2 handles of WASI");
        state.close();
        assert!(state.open().is_ok());
    }

    #[test]
    fn output_becomes_lines() {
        let mut sandbox = Sandbox::new("p".into(), &crate::Limits::default());
        sandbox.put_out(STDOUT, "one\ntw".bytes());
        sandbox.put_out(STDERR, "error".bytes());
        sandbox.put_out(STDOUT, "o\n\n".bytes());
        sandbox.put_out(STDOUT, std::iter::repeat_n(b'x', LINE_BYTES + 1));
        sandbox.end_lines();
        let said: Vec<_> =
            sandbox.log.take_tail().into_iter().map(|line| line[..line.len().min(5)].to_owned()).collect();
        assert_eq!(said, ["one", "two", "", "xxxxx", "x", "error"]);
    }
}
