//! Loading: files that are not plug-ins, plug-ins that were built for other versions of the contract (the WIT package
//! in `wit/`), and the cache of compiled plug-ins.

use crate::{
    guests::{EVIL, evil_bytes},
    rig::{cache, child, configs, limits, loader, logged, pool, within_minutes},
};
use host_plugin_host::{
    Access, Cache, Compiler, Configs, Engine, EngineProfile, Inspection, Limits, LoadError, Loader,
    OpenError, Plugins, Role, Settings,
};
use insta::assert_snapshot;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

/// The error of loading a file with these bytes.
fn load_error(bytes: &[u8]) -> String {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x.wasm");
    fs::write(&path, bytes).unwrap();
    load_error_of_path(&path, dir.path(), &Configs::new())
}

/// The error of loading a file; the name of its directory is left out.
fn load_error_of_path(path: &Path, dir: &Path, configs: &Configs) -> String {
    let limits = limits().with_call_time(Duration::from_millis(500));
    let error =
        Loader::new(loader(limits.clone()).engine().clone(), limits, None).load(path, configs).unwrap_err();
    error.to_string().replace(&format!("{}/", dir.display()), "")
}

/// The plug-in `tests/guests/evil` with each first text in its bytes replaced by a second one of the same length.
fn patched(patches: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = evil_bytes();
    for (from, to) in patches {
        assert_eq!(from.len(), to.len());
        let positions: Vec<usize> = (0..bytes.len() - from.len())
            .filter(|position| bytes[*position..].starts_with(from.as_bytes()))
            .collect();
        assert!(!positions.is_empty(), "{from} does not occur");
        for position in positions {
            bytes[position..position + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    bytes
}

#[test]
fn no_file() {
    assert_snapshot!(load_error_of_path(Path::new("no/such.wasm"), Path::new("-"), &Configs::new()), @"there is no plug-in no/such.wasm; check the path given to --plugin");
}

#[test]
fn a_directory() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x.wasm");
    fs::create_dir(&path).unwrap();
    assert_snapshot!(load_error_of_path(&path, dir.path(), &Configs::new()), @"the plug-in x.wasm is not a file; name the .wasm file itself");
}

#[test]
fn an_empty_file() {
    assert_snapshot!(load_error(b""), @"the plug-in x.wasm is empty; build it again");
}

#[test]
fn a_file_that_is_not_webassembly() {
    assert_snapshot!(load_error(b"(component)"), @"the plug-in x.wasm is not a WebAssembly file; name the .wasm file that the build made");
    assert_snapshot!(load_error(b"\0asm"), @"the plug-in x.wasm is not a WebAssembly file; name the .wasm file that the build made");
}

#[test]
fn a_large_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x.wasm");
    fs::write(&path, vec![0; 3 << 20]).unwrap();
    let limits = Limits { component_bytes: 2 << 20, ..limits() };
    let error =
        Loader::new(loader(limits.clone()).engine().clone(), limits, None).load(&path, &Configs::new());
    assert_snapshot!(error.unwrap_err().to_string().replace(&format!("{}/", dir.path().display()), ""), @"the plug-in x.wasm is larger than 2 MiB; build it for release and strip its debug information, or raise component_bytes");
}

#[test]
fn a_core_module() {
    assert_snapshot!(load_error(b"\0asm\x01\0\0\0"), @"the plug-in x.wasm is a core module, not a component; link it with wasm-component-ld or run `wasm-tools component new` on it");
}

#[test]
fn machine_code() {
    let code = wasmtime::Engine::default().precompile_component(b"\0asm\x0d\0\x01\0").unwrap();
    assert_snapshot!(load_error(&code), @"the plug-in x.wasm is precompiled machine code (.cwasm), which is never run; name the .wasm file that it was made from");
}

#[test]
fn a_damaged_file() {
    let bytes = evil_bytes();
    let error = load_error(&bytes[..bytes.len() / 2]);
    assert_snapshot!(error.split(" (at offset").next().unwrap(), @"the plug-in x.wasm does not compile: unexpected end-of-file");
}

#[test]
fn a_component_for_something_else() {
    assert_snapshot!(load_error(b"\0asm\x0d\0\x01\0"), @"the component x.wasm is not a plug-in, because it exports no interface of product-indexer:plugin@0.1.0 (its exports: none); build it against a world of this package");
    assert_snapshot!(load_error(&patched(&[("product-indexer:plugin/", "product-catalog:plugin/")])), @"the component x.wasm is not a plug-in, because it exports no interface of product-indexer:plugin@0.1.0 (its exports: product-catalog:plugin/manifest@0.1.0, product-catalog:plugin/transform@0.1.0, product-catalog:plugin/validate@0.1.0, product-catalog:plugin/version@0.1.0); build it against a world of this package");
}

#[test]
fn a_plug_in_for_an_incompatible_contract() {
    assert_snapshot!(load_error(&patched(&[("@0.1.0", "@0.2.0")])), @"the plug-in x.wasm was built for version 0.2.0 of the contract and this host speaks 0.1.0; rebuild the plug-in or use a host of its time");
}

#[test]
fn a_plug_in_for_a_later_minor_version_of_the_contract() {
    let later = patched(&[("@0.1.0", "@0.1.9")]);
    loader(limits()).load_bytes(Path::new("x.wasm"), &later, &configs("good")).unwrap();
    // Another interface of the contract's package, under a name of the same length.
    let metrics = ("product-indexer:plugin/log@0.1.0", "product-indexer:plugin/web@0.1.2");
    assert_snapshot!(load_error(&patched(&[metrics])), @"the plug-in x.wasm was built for version 0.1.2 of the contract and this host speaks 0.1.0: it imports product-indexer:plugin/web@0.1.2; use a newer host, or build the plug-in against 0.1.0");
}

#[test]
fn a_plug_in_that_imports_the_network() {
    let http = ("product-indexer:plugin/log@0.1.0", "wasi:http/outgoing-handler@0.2.1");
    assert_snapshot!(load_error(&patched(&[http])), @"the plug-in x.wasm imports wasi:http/outgoing-handler@0.2.1, but a plug-in gets nothing except product-indexer:plugin/log@0.1.0 and a WASI 0.2 that grants nothing; build it without these imports: Rust for wasm32-unknown-unknown or wasm32-wasip2, JavaScript with componentize-qjs or `jco componentize --disable http`, Python with componentize-py");
}

#[test]
fn a_plug_in_that_imports_a_later_wasi() {
    let files = ("product-indexer:plugin/log@0.1.0", "wasi:filesystem/preopens@0.3.100");
    assert_snapshot!(load_error(&patched(&[files])), @"the plug-in x.wasm imports wasi:filesystem/preopens@0.3.100, but a plug-in gets nothing except product-indexer:plugin/log@0.1.0 and a WASI 0.2 that grants nothing; build it without these imports: Rust for wasm32-unknown-unknown or wasm32-wasip2, JavaScript with componentize-qjs or `jco componentize --disable http`, Python with componentize-py");
}

#[test]
fn a_plug_in_without_a_manifest() {
    assert_snapshot!(load_error(&patched(&[("plugin/manifest@", "plugin/manifold@")])), @"the plug-in x.wasm does not export the interface manifest; build it against a world of the contract");
}

#[test]
fn a_plug_in_without_a_role() {
    let roles = [
        ("plugin/transform@", "plugin/transfuse@"),
        ("plugin/validate@", "plugin/valitate@"),
        ("plugin/version@", "plugin/verbion@"),
    ];
    assert_snapshot!(load_error(&patched(&roles)), @"the plug-in x.wasm exports none of the roles transform, validate and version; build it against one of the worlds transformer, validator and plugin");
}

#[test]
fn a_plug_in_without_a_function_of_the_contract() {
    assert_snapshot!(load_error(&patched(&[("describe", "descrybe")])), @"the plug-in x.wasm does not export the function manifest.describe of the contract; build it against a world of the contract");
    assert_snapshot!(load_error(&patched(&[("compare", "compore")])), @"the plug-in x.wasm does not export the function version.compare of the contract; build it against a world of the contract");
}

#[test]
fn a_configuration_that_the_plug_in_refuses() {
    let error = |misbehaviour| load_error_of_path(&EVIL, EVIL.parent().unwrap(), &configs(misbehaviour));
    assert!(
        error("repent").starts_with(
            "plug-in evil@0.1.0 (guest_evil.wasm) cannot be configured: unknown variant `repent`"
        )
    );
    assert_snapshot!(error("loop-configure"), @"plug-in evil@0.1.0 (guest_evil.wasm) cannot be configured: it took longer than the 500 ms that a call may take when it was configured (plugin-timeout)");
}

#[test]
fn a_configuration_for_a_plug_in_that_is_not_loaded() {
    let settings = Settings { cache: Some(cache()), limits: limits(), ..Settings::default() };
    let configs = Configs::from([("shopware".to_owned(), serde_json::Map::new())]);
    let Err(error @ OpenError::UnknownConfig { .. }) =
        Plugins::open(&settings, std::slice::from_ref(&EVIL), &configs)
    else {
        panic!("opened");
    };
    assert_snapshot!(error, @"there is a configuration for a plug-in `shopware`, but no plug-in of this name; the plug-ins are evil, validate");
}

#[test]
fn a_later_plug_in_wins_a_role() {
    let settings = Settings { cache: Some(cache()), limits: limits(), ..Settings::default() };
    let name = |plugins: &Plugins, role| plugins.plugin_ref(role).map(|plugin| plugin.name);
    let bundled_only = Plugins::open(&settings, &[], &Configs::new()).unwrap();
    assert!(bundled_only.transform().is_none());
    assert_eq!(name(&bundled_only, Role::Validate).as_deref(), Some("validate"));

    let transform = crate::guests::TRANSFORM.clone();
    let both = Plugins::open(&settings, &[EVIL.clone(), transform.clone()], &Configs::new()).unwrap();
    assert_eq!(name(&both, Role::Transform).as_deref(), Some("shopify"));
    assert_eq!(name(&both, Role::Version).as_deref(), Some("evil"));
    let both = Plugins::open(&settings, &[transform, EVIL.clone()], &Configs::new()).unwrap();
    assert_eq!(name(&both, Role::Transform).as_deref(), Some("evil"));
}

#[test]
fn an_inspection_has_the_manifest_the_imports_and_the_times() {
    let dir = TempDir::new().unwrap();
    let engine = Engine::new(EngineProfile::Production, &limits(), 1).unwrap();
    let cache = Cache::new(dir.path().join("cache"));
    let inspection = Inspection::of(&EVIL, &engine, &limits(), Some(&cache), &Compiler::InProcess).unwrap();
    assert!(inspection.cold_load_ms > 0.0 && inspection.cached_load_ms.is_some());
    // Without the values that differ at each build or run.
    let stable = Inspection {
        bytes: 0,
        digest: host_core::model::Digest::of(b""),
        cold_load_ms: 0.0,
        cached_load_ms: None,
        config_schema: serde_json::Value::Null,
        ..inspection
    };
    insta::assert_json_snapshot!(stable, @r#"
    {
      "name": "evil",
      "version": "0.1.0",
      "platform": "evil",
      "roles": [
        "transform",
        "validate",
        "version"
      ],
      "contract": "0.1.0",
      "host_contract": "0.1.0",
      "imports": [
        {
          "name": "product-indexer:plugin/log@0.1.0",
          "meaning": "lines in the log"
        },
        {
          "name": "product-indexer:plugin/types@0.1.0",
          "meaning": "names of types, nothing else"
        }
      ],
      "bytes": 0,
      "digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      "cold_load_ms": 0.0,
      "cached_load_ms": null,
      "version_fields": [
        "updated_at"
      ],
      "grouping": "whole-lines",
      "config_schema": null
    }
    "#);
}

/// A separate cache with one entry: the compiled plug-in `tests/guests/evil`.
struct CacheDir {
    dir: TempDir,
    loader: Loader,
}

impl CacheDir {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let engine = Engine::new(EngineProfile::Production, &limits(), 1).unwrap();
        let loader = Loader::new(engine, limits(), Some(Cache::new(dir.path().join("a/plugins"))));
        loader.load(&EVIL, &Configs::new()).unwrap();
        Self { dir, loader }
    }

    fn directory(&self) -> PathBuf {
        self.dir.path().join("a/plugins")
    }

    /// The file of the one entry.
    fn entry(&self) -> PathBuf {
        let entries: Vec<_> =
            fs::read_dir(self.directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(entries.len(), 1);
        entries[0].clone()
    }

    /// Whether the loader would use the entry.
    fn is_used(&self) -> bool {
        self.loader.is_cached(&evil_bytes())
    }
}

/// The plug-in `tests/guests/evil` with a custom section, which changes nothing but its digest.
fn variant(number: u8) -> Vec<u8> {
    // Id 0 of custom sections, the length of the section, the length of its name, its name, its content.
    [evil_bytes(), vec![0, 3, 1, b'n', number]].concat()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_compiled_plug_in_is_kept_for_its_user_alone() {
    let cache_dir = CacheDir::new();
    assert!(cache_dir.is_used());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&cache_dir.directory()), mode(&cache_dir.entry())), (0o700, 0o600));
    let other_engine = Engine::new(EngineProfile::Deterministic, &limits(), 1).unwrap();
    let other = Loader::new(other_engine, limits(), Some(Cache::new(cache_dir.directory())));
    assert!(!other.is_cached(&evil_bytes()));
}

#[test]
fn a_damaged_entry_is_not_run_and_is_replaced() {
    let cache_dir = CacheDir::new();
    let entry = cache_dir.entry();
    let sound = fs::read(&entry).unwrap();
    let mut flipped = sound.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [&flipped[..], &sound[..sound.len() / 2], &sound[..10], b""] {
        fs::write(&entry, damaged).unwrap();
        assert!(!cache_dir.is_used());
        cache_dir.loader.load(&EVIL, &Configs::new()).unwrap();
        assert!(cache_dir.is_used());
    }
}

#[test]
fn an_entry_that_others_can_write_is_not_run() {
    let cache_dir = CacheDir::new();
    let entry = cache_dir.entry();
    set_mode(&entry, 0o620);
    assert!(!cache_dir.is_used());
    set_mode(&entry, 0o600);
    assert!(cache_dir.is_used());
    set_mode(&cache_dir.directory(), 0o770);
    assert!(!cache_dir.is_used());
    cache_dir.loader.load(&EVIL, &Configs::new()).unwrap();
    set_mode(&cache_dir.directory(), 0o700);

    let elsewhere = cache_dir.dir.path().join("elsewhere");
    fs::rename(&entry, &elsewhere).unwrap();
    symlink(&elsewhere, &entry).unwrap();
    assert!(!cache_dir.is_used());
}

#[test]
fn an_entry_that_is_a_link_is_named_in_the_log() {
    let cache_dir = CacheDir::new();
    let entry = cache_dir.entry();
    fs::rename(&entry, cache_dir.dir.path().join("elsewhere")).unwrap();
    symlink(cache_dir.dir.path().join("elsewhere"), &entry).unwrap();
    let log = logged(|| assert!(!cache_dir.is_used()));
    assert!(log.contains(&format!("{} is not a directory or not a regular file", entry.display())), "{log}");
}

#[test]
fn a_pipe_is_neither_a_plug_in_nor_an_entry() {
    use rustix::fs::{CWD, Mode, mkfifoat};
    let cache_dir = CacheDir::new();
    let pipe = cache_dir.dir.path().join("x.wasm");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let error = within_minutes(move || loader(limits()).load(&pipe, &Configs::new()).unwrap_err());
    assert!(matches!(error, LoadError::NotAFile { .. }), "{error}");

    let entry = cache_dir.entry();
    fs::remove_file(&entry).unwrap();
    mkfifoat(CWD, &entry, Mode::RUSR | Mode::WUSR).unwrap();
    assert!(!within_minutes(move || cache_dir.is_used()));
}

#[test]
fn an_entry_under_the_name_of_another_is_not_run() {
    let cache_dir = CacheDir::new();
    let first = cache_dir.entry();
    let path = Path::new("x.wasm");
    cache_dir.loader.load_bytes(path, &variant(1), &Configs::new()).unwrap();
    let all = fs::read_dir(cache_dir.directory()).unwrap().map(|entry| entry.unwrap().path());
    let second = all.into_iter().find(|path| *path != first).unwrap();
    fs::copy(&second, &first).unwrap();
    assert!(cache_dir.loader.is_cached(&variant(1)) && !cache_dir.is_used());
}

#[test]
fn a_plug_in_that_is_refused_evicts_no_other() {
    let cache_dir = CacheDir::new();
    let full = Cache::new(cache_dir.directory()).with_max_bytes(1);
    let engine = Engine::new(EngineProfile::Production, &limits(), 1).unwrap();
    for compiler in [Compiler::InProcess, child()] {
        let loader = Loader::new(engine.clone(), limits(), Some(full.clone())).with_compiler(compiler);
        let refused = crate::small::plugin(r#"(func (export "d"))"#);
        loader.load_bytes(Path::new("x.wasm"), &refused, &Configs::new()).unwrap_err();
        assert!(cache_dir.is_used());
        // It is still the only entry.
        cache_dir.entry();
    }
}

#[test]
fn old_drafts_of_dead_processes_are_removed() {
    let cache_dir = CacheDir::new();
    let draft = |name: &str, age| {
        let path = cache_dir.directory().join(name);
        let file = fs::File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        path
    };
    let (new, old) = (draft(".draft-new", 60), draft(".draft-old", 7_200));
    let older_release = draft(".tmpabcdef", 7_200);
    cache_dir.loader.load_bytes(Path::new("x.wasm"), &variant(1), &Configs::new()).unwrap();
    assert!(new.exists() && !old.exists() && !older_release.exists());
}

#[test]
fn entries_that_were_used_least_recently_are_evicted() {
    let dir = TempDir::new().unwrap();
    let directory = dir.path().join("plugins");
    let engine = Engine::new(EngineProfile::Production, &limits(), 1).unwrap();
    let components = [1, 2, 3, 4].map(variant);
    let loader =
        |bytes| Loader::new(engine.clone(), limits(), Some(Cache::new(&directory).with_max_bytes(bytes)));
    let compile = |loader: &Loader, index: usize| {
        loader.load_bytes(Path::new("x.wasm"), &components[index], &Configs::new()).unwrap();
    };
    let cached = || -> Vec<bool> {
        // `is_cached` counts as a use, so it must look at a copy.
        let copy = TempDir::new().unwrap();
        let copied = copy.path().join("plugins");
        fs::create_dir(&copied).unwrap();
        set_mode(&copied, 0o700);
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copied.join(entry.file_name())).unwrap();
        }
        let loader_of_copy = Loader::new(engine.clone(), limits(), Some(Cache::new(&copied)));
        components.iter().map(|component| loader_of_copy.is_cached(component)).collect()
    };
    compile(&loader(u64::MAX), 0);
    let size = fs::read_dir(&directory).unwrap().next().unwrap().unwrap().metadata().unwrap().len();
    let bounded = loader(3 * size + size / 2);
    compile(&bounded, 1);
    compile(&bounded, 2);
    assert!(bounded.is_cached(&components[0]));
    compile(&bounded, 3);
    assert_eq!(cached(), [true, false, true, true]);
    // The newest entry stays, even if it alone is larger than the limit.
    compile(&loader(1), 1);
    assert_eq!(cached(), [false, true, false, false]);
}

#[test]
fn a_plug_in_loads_without_a_writable_cache() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let engine = Engine::new(EngineProfile::Production, &limits(), 1).unwrap();
    let loader = Loader::new(engine, limits(), Some(Cache::new(file.join("plugins"))));
    loader.load(&EVIL, &Configs::new()).unwrap();
}

#[tokio::test]
async fn more_instances_than_the_engine_was_made_for() {
    use host_core::plugin::Transform;
    use host_plugin_host::Runner;
    let engine = Engine::new(EngineProfile::Production, &limits(), 1).unwrap();
    assert_eq!(engine.access(), Access::Reserved);
    let loader = Loader::new(engine, limits(), Some(cache()));
    let pool = pool(1);
    let runners: Vec<_> =
        (0..20).map(|_| Runner::new(loader.load(&EVIL, &Configs::new()).unwrap(), pool.clone())).collect();
    for runner in runners {
        assert!(runner.transform(vec![crate::rig::good_product(0)]).await.is_ok());
    }
}

#[test]
fn errors_can_be_sent_between_threads() {
    fn is_error<T: std::error::Error + Send + Sync + 'static>() {}
    is_error::<LoadError>();
    is_error::<OpenError>();
}
