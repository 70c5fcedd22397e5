//! The compiler of plug-ins as a child process, and components that are made to cost it time or memory.

use crate::{
    guests::{EVIL, evil_bytes},
    rig::{child, good_product, limits, logged, pool},
    small::{doubling, exporting, nested, plugin, with_function_of},
};
use host_core::plugin::Transform;
use host_plugin_host::{Cache, Compiler, Configs, Engine, EngineProfile, Limits, LoadError, Loader, Runner};
use insta::assert_snapshot;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

fn loader(limits: Limits, cache: Option<Cache>, compiler: Compiler) -> Loader {
    let engine = Engine::new(EngineProfile::Production, &limits, 1).unwrap();
    Loader::new(engine, limits, cache).with_compiler(compiler)
}

/// The error of loading a component, which must be the same with and without a cache.
fn load_error(limits: &Limits, wasm: &[u8]) -> String {
    let dir = TempDir::new().unwrap();
    let cache = Cache::new(dir.path().join("cache"));
    let load = |cache: Option<Cache>| {
        let loader = loader(limits.clone(), cache, child());
        loader.load_bytes(Path::new("x.wasm"), wasm, &Configs::new()).unwrap_err().to_string()
    };
    let first = load(Some(cache.clone()));
    assert_eq!((load(Some(cache.clone())), load(None)), (first.clone(), first.clone()));
    assert_eq!(entries(&cache), Vec::<PathBuf>::new(), "no file is left");
    first
}

/// The files in a cache.
fn entries(cache: &Cache) -> Vec<PathBuf> {
    fs::read_dir(cache.directory()).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_plug_in_that_a_child_compiled_runs_with_and_without_a_cache() {
    let dir = TempDir::new().unwrap();
    let cache = Cache::new(dir.path().join("cache"));
    for cache in [None, Some(cache.clone()), Some(cache.clone())] {
        let plugin = loader(limits(), cache, child()).load(&EVIL, &crate::rig::configs("good")).unwrap();
        let outcomes = Runner::new(plugin, pool(1)).transform(vec![good_product(0)]).await.unwrap();
        assert_eq!(outcomes[0].1.documents.len(), 1);
    }
    assert_eq!(entries(&cache).len(), 1);
    assert!(
        loader(limits(), Some(cache), Compiler::InProcess).is_cached(&evil_bytes()),
        "this process and a child compile to the same code"
    );
}

#[test]
fn a_child_compiles_for_the_deterministic_engine_too() {
    let engine = Engine::new(EngineProfile::Deterministic, &limits(), 1).unwrap();
    Loader::new(engine, limits(), None).with_compiler(child()).load(&EVIL, &Configs::new()).unwrap();
}

#[test]
fn instances_that_double_at_each_level() {
    assert_snapshot!(load_error(&limits(), &doubling(25)), @"the plug-in x.wasm has 128 core instances, more than the 100 that plugin.limits.core_instances allows; make it smaller, or raise the limit if you trust it");
}

#[test]
fn components_nested_100_000_levels_deep() {
    assert_snapshot!(load_error(&limits(), &nested(100_000)), @"the plug-in x.wasm has 17 levels of nested components, more than the 16 that plugin.limits.component_nesting allows; make it smaller, or raise the limit if you trust it");
}

#[test]
fn a_function_of_seven_megabytes() {
    assert_snapshot!(load_error(&limits(), &with_function_of(7 << 20)), @"the plug-in x.wasm has 7340034 bytes in one function, more than the 1048576 that plugin.limits.function_bytes allows; make it smaller, or raise the limit if you trust it");
}

#[test]
fn a_function_that_takes_too_long_to_compile() {
    let allowed = Limits { function_bytes: 64 << 20, compile_ms: 500, ..limits() };
    let started = Instant::now();
    assert_snapshot!(load_error(&allowed, &with_function_of(7 << 20)), @"the plug-in x.wasm takes longer to compile than the 500 ms that plugin.limits.compile_ms allows; make it smaller, or raise the limit if you trust it");
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_component_that_takes_too_much_memory_to_compile() {
    let allowed = Limits { function_bytes: 64 << 20, compile_memory_bytes: 300 << 20, ..limits() };
    assert_snapshot!(load_error(&allowed, &with_function_of(7 << 20)), @"the plug-in x.wasm takes more memory to compile than the 300 MiB that plugin.limits.compile_memory_bytes allows; make it smaller, or raise the limit if you trust it");
}

#[test]
fn a_compiler_that_hardly_has_memory_to_start() {
    let allowed = Limits { compile_memory_bytes: 10_000_000, ..limits() };
    let error = loader(allowed, None, child()).load(&EVIL, &Configs::new()).unwrap_err();
    assert!(matches!(error, LoadError::Limit { limit: "compile_memory_bytes", .. }), "{error}");
}

#[test]
fn a_component_that_compiles_to_too_much_code() {
    // The data at both ends makes the compiler write an image of all the memory between them.
    let bomb = plugin(
        r#"(memory 256) (data (i32.const 0) "x") (data (i32.const 16777200) "y") (func (export "d"))"#,
    );
    let allowed = Limits { code_bytes: 8 << 20, ..limits() };
    assert_snapshot!(load_error(&allowed, &bomb), @"the plug-in x.wasm compiles to more machine code than the 8 MiB that plugin.limits.code_bytes allows; make it smaller, or raise the limit if you trust it");
}

#[test]
fn globals_in_many_instances() {
    let globals = "(global (mut i64) (i64.const 0))".repeat(10_000);
    let instances = "(core instance (instantiate $g))".repeat(60);
    let component = exporting(&format!(
        r#"(core module $g {globals}) {instances}
        (core module $m (func (export "d")))
        (core instance $i (instantiate $m))
        (func $d (canon lift (core func $i "d")))"#
    ));
    assert_snapshot!(load_error(&limits(), &component), @"the plug-in x.wasm has 510000 globals, functions and other items in its instances, more than the 500000 that plugin.limits.instance_items allows; make it smaller, or raise the limit if you trust it");
}

#[test]
fn a_component_that_is_not_valid() {
    let wasm = plugin(r#"(func (result i32)) (func (export "d"))"#);
    assert_snapshot!(load_error(&limits(), &wasm), @"the plug-in x.wasm does not compile: failed to compile: wasm[0]::function[0]: WebAssembly translation error: Invalid input WebAssembly code at offset 45: type mismatch: expected i32 but nothing on stack; build it again with a current toolchain");
}

/// The error of loading a plug-in with a shell script as the compiler.
fn error_with_compiler(script: &str, limits: Limits) -> LoadError {
    let compiler = Compiler::Child { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
    loader(limits, None, compiler).load(&EVIL, &Configs::new()).unwrap_err()
}

#[test]
fn a_compiler_that_hangs_is_killed() {
    let short = Limits { compile_ms: 200, ..limits() };
    for script in ["exec sleep 1000", "while :; do echo flood >&2; done"] {
        let started = Instant::now();
        let error = error_with_compiler(script, short.clone());
        assert!(matches!(error, LoadError::Limit { limit: "compile_ms", .. }), "{script}: {error}");
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn a_compiler_that_crashes_is_an_error_of_the_plug_in() {
    let error = error_with_compiler("kill -SEGV $$", limits());
    assert!(matches!(&error, LoadError::Invalid { cause, .. } if cause.contains("crashed")), "{error}");
}

#[test]
fn a_compiler_that_writes_something_else_is_an_error() {
    let error = error_with_compiler("echo nonsense", limits());
    assert!(matches!(&error, LoadError::Invalid { cause, .. } if cause.contains("damaged")), "{error}");
}

#[test]
fn a_full_disk_is_logged_once_and_named_in_each_error() {
    let dir = TempDir::new().unwrap();
    let compiler = Compiler::Child {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), "echo No space left on device >&2; exit 4".into()],
    };
    let loader = loader(limits(), Some(Cache::new(dir.path().join("cache"))), compiler);
    let log = logged(|| {
        for _ in 0..2 {
            let error = loader.load(&EVIL, &Configs::new()).unwrap_err();
            assert!(matches!(error, LoadError::Compiler { .. }), "{error}");
            let folder = std::env::temp_dir().display().to_string();
            let error = error.to_string().replace(&EVIL.display().to_string(), "x.wasm");
            assert_eq!(error.matches(&folder).count(), 1, "{error}");
            assert!(error.contains("No space left on device"), "{error}");
        }
    });
    assert_eq!(log.matches("compiled plug-ins are not kept in").count(), 1, "{log}");
}

/// The file with the request to the compiler (a line of JSON and the component) for a component that takes long to
/// compile.
fn slow_request(dir: &Path) -> PathBuf {
    let request = dir.join("request");
    let script = format!("cat > '{}'; exit 3", request.display());
    let compiler = Compiler::Child { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
    let allowed = Limits { function_bytes: 64 << 20, ..limits() };
    loader(allowed, None, compiler)
        .load_bytes(Path::new("x.wasm"), &with_function_of(7 << 20), &Configs::new())
        .unwrap_err();
    request
}

#[test]
fn the_compiler_ends_with_its_parent() {
    let dir = TempDir::new().unwrap();
    let request = slow_request(dir.path());
    let code = dir.path().join("code");
    let script = format!(
        "echo $$; read go; '{}' < '{}' > '{}' & echo $!; read end",
        env!("CARGO_BIN_EXE_compile-plugin"),
        request.display(),
        code.display()
    );
    let mut parent = Command::new("/bin/sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The shell starts the compiler when it gets a line, so that its process id can be written into the request before.
    let mut output = BufReader::new(parent.stdout.take().unwrap()).lines().map(Result::unwrap);
    let id = output.next().unwrap();
    let text = fs::read(&request).unwrap();
    let line_end = text.iter().position(|byte| *byte == b'\n').unwrap();
    let mut line: serde_json::Value = serde_json::from_slice(&text[..line_end]).unwrap();
    line["parent"] = id.parse::<u32>().unwrap().into();
    fs::write(&request, [line.to_string().as_bytes(), &text[line_end..]].concat()).unwrap();
    parent.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    let compiler = output.next().unwrap();
    let runs = || {
        // A compiler that has ended remains as a zombie (state Z) where process 1 does not reap it.
        let stat = fs::read_to_string(format!("/proc/{compiler}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    std::thread::sleep(Duration::from_secs(1));
    assert!(runs(), "the compiler runs while its parent does");
    parent.kill().unwrap();
    parent.wait().unwrap();
    let started = Instant::now();
    while runs() {
        assert!(started.elapsed() < Duration::from_secs(60), "the compiler still runs without its parent");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(fs::metadata(code).unwrap().len(), 0, "the compiler had finished before its parent ended");
}

#[test]
fn a_compiler_that_does_not_exist() {
    let compiler = Compiler::Child { program: "/no/such/compiler".into(), args: Vec::new() };
    let error = loader(limits(), None, compiler).load(&EVIL, &Configs::new()).unwrap_err();
    assert!(matches!(error, LoadError::Compiler { .. }), "{error}");
}

#[test]
fn the_compiler_does_not_inherit_the_environment() {
    // Cargo sets many variables for its tests.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let error = error_with_compiler("set >&2; exit 3", limits()).to_string();
    assert!(error.contains("RAYON_NUM_THREADS") && !error.contains("CARGO"), "{error}");
}
