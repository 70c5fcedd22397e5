//! Scans the bytes of a component (the WebAssembly of a plug-in) before it is compiled: finds the names that it imports
//! and exports, and refuses it if compiling or instantiating it would exceed a limit. A component may be hostile:
//! nested components can make a small file describe billions of instances. The scan does not recurse and takes time and
//! memory in proportion to the file.

use crate::Limits;
use wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, ElementItems, Encoding, Instance, Parser, Payload,
};

/// The names that the outermost component imports and exports.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

/// Why a component is not compiled.
#[derive(Debug)]
pub(super) enum Refused {
    /// Its bytes are not WebAssembly.
    Malformed(BinaryReaderError),
    /// It exceeds a limit.
    Limit(LimitExceeded),
}

/// A limit that a component exceeds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LimitExceeded {
    /// What the component does, before "the VALUE that LIMIT allows", such as "has 20 functions, more than".
    pub(super) does: String,
    /// The limit's name in `[plugin.limits]`.
    pub(super) limit: &'static str,
    /// Its value, with the unit if the name does not say it.
    pub(super) value: String,
}

/// What one instance of a component or module consists of, with all instances inside it counted.
#[derive(Clone, Copy, Debug, Default)]
struct Expanded {
    core_instances: u64,
    component_instances: u64,
    /// Globals, functions and everything else that an instance takes memory for.
    items: u64,
    /// Instances of modules that are passed in as arguments and thus known only when the plug-in is instantiated. Each
    /// is counted like the largest module in the file.
    passed: u64,
}

/// A component or core module whose end has not been read yet.
#[derive(Debug)]
struct Scope {
    encoding: Encoding,
    /// What one instance of it consists of, as far as it has been read.
    expanded: Expanded,
    /// The components that it can instantiate, by index.
    components: Vec<Expanded>,
    /// The core modules that it can instantiate, by index.
    modules: Vec<Expanded>,
}

/// Scans a component.
pub(super) fn scan(wasm: &[u8], limits: &Limits) -> Result<Names, Refused> {
    let mut scan =
        Scan { limits, names: Names::default(), scopes: Vec::new(), functions: 0, largest_module: 0 };
    for payload in Parser::new(0).parse_all(wasm) {
        scan.take(payload?)?;
    }
    Ok(scan.names)
}

struct Scan<'a> {
    limits: &'a Limits,
    names: Names,
    /// The component or module that is being read, last, and the components around it.
    scopes: Vec<Scope>,
    /// Functions in the whole file.
    functions: u64,
    /// Items of the largest module that was read.
    largest_module: u64,
}

impl Scan<'_> {
    fn take(&mut self, payload: Payload<'_>) -> Result<(), Refused> {
        match payload {
            Payload::Version { encoding, .. } => {
                let (expanded, components, modules) = Default::default();
                self.scopes.push(Scope { encoding, expanded, components, modules });
                let depth = self.components().count().saturating_sub(1);
                within(
                    depth,
                    "levels of nested components",
                    "component_nesting",
                    self.limits.component_nesting,
                )?;
            }
            Payload::End(_) => self.end()?,
            Payload::ImportSection(section) => self.count(section.count()),
            Payload::FunctionSection(section) => self.count(section.count()),
            Payload::TableSection(section) => self.count(section.count()),
            Payload::MemorySection(section) => self.count(section.count()),
            Payload::TagSection(section) => self.count(section.count()),
            Payload::GlobalSection(section) => self.count(section.count()),
            Payload::ExportSection(section) => self.count(section.count()),
            Payload::DataSection(section) => self.count(section.count()),
            Payload::ElementSection(segments) => {
                for segment in segments {
                    self.count(match segment?.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    });
                }
            }
            // Each canonical function takes memory in each instance of the component.
            Payload::ComponentCanonicalSection(section) => {
                self.add(Expanded { items: section.count().into(), ..Expanded::default() })?;
            }
            Payload::CodeSectionStart { count, .. } => {
                self.functions += u64::from(count);
                within(self.functions, "functions", "functions", self.limits.functions)?;
            }
            Payload::CodeSectionEntry(body) => {
                let bytes = body.range().len();
                within(bytes, "bytes in one function", "function_bytes", self.limits.function_bytes)?;
            }
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        let module = self.defined(0, module_index, |scope| &scope.modules);
                        self.add(Expanded { core_instances: 1, ..module })?;
                    }
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                        let inner = self.defined(0, component_index, |scope| &scope.components);
                        self.add(Expanded {
                            component_instances: inner.component_instances.saturating_add(1),
                            ..inner
                        })?;
                    }
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    match alias? {
                        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                            let outer = self.defined(count, index, |scope| &scope.components);
                            self.define_component(outer)?;
                        }
                        ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, count, index } => {
                            let outer = self.defined(count, index, |scope| &scope.modules);
                            self.define_module(outer)?;
                        }
                        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                            self.define_component(self.passed_component())?;
                        }
                        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } => {
                            self.define_module(Expanded { passed: 1, ..Expanded::default() })?;
                        }
                        _ => {}
                    }
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    let import = import?;
                    match import.ty {
                        ComponentTypeRef::Component(_) => self.define_component(self.passed_component())?,
                        ComponentTypeRef::Module(_) => {
                            self.define_module(Expanded { passed: 1, ..Expanded::default() })?;
                        }
                        _ => {}
                    }
                    self.name(import.name.name, |names| &mut names.imports)?;
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    match export.kind {
                        ComponentExternalKind::Component => {
                            let exported = self.defined(0, export.index, |scope| &scope.components);
                            self.define_component(exported)?;
                        }
                        ComponentExternalKind::Module => {
                            let exported = self.defined(0, export.index, |scope| &scope.modules);
                            self.define_module(exported)?;
                        }
                        _ => {}
                    }
                    self.name(export.name.name, |names| &mut names.exports)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends a component or module. From now on the component around it can instantiate it.
    fn end(&mut self) -> Result<(), Refused> {
        match self.scopes.pop() {
            Some(Scope { encoding: Encoding::Component, expanded, .. }) => self.define_component(expanded),
            Some(Scope { encoding: Encoding::Module, expanded, .. }) => {
                self.largest_module = self.largest_module.max(expanded.items);
                self.define_module(expanded)
            }
            None => Ok(()),
        }
    }

    /// The components that are being read, from the innermost outwards.
    fn components(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.iter().rev().filter(|scope| scope.encoding == Encoding::Component)
    }

    /// A component or module by its index in the scope `count` levels out. A missing one counts nothing, because the
    /// compiler refuses the file.
    fn defined(&self, count: u32, index: u32, list: impl Fn(&Scope) -> &Vec<Expanded>) -> Expanded {
        let scope = self.components().nth(count as usize);
        scope.and_then(|scope| list(scope).get(index as usize)).copied().unwrap_or_default()
    }

    /// What is counted for a component that is passed in as an argument: as many unknown modules as there may be core
    /// instances. The limits of the compiler's process and of the sandbox bound how many instances it really makes.
    fn passed_component(&self) -> Expanded {
        Expanded { passed: self.limits.core_instances as u64, ..Expanded::default() }
    }

    fn define_component(&mut self, component: Expanded) -> Result<(), Refused> {
        let Some(scope) = self.scopes.last_mut() else { return Ok(()) };
        scope.components.push(component);
        let (count, limit) = (scope.components.len(), self.limits.component_instances);
        within(count, "component definitions", "component_instances", limit)
    }

    fn define_module(&mut self, module: Expanded) -> Result<(), Refused> {
        let Some(scope) = self.scopes.last_mut() else { return Ok(()) };
        scope.modules.push(module);
        let (count, limit) = (scope.modules.len(), self.limits.component_instances);
        within(count, "core module definitions", "component_instances", limit)
    }

    /// Counts items of the module that is being read; they cost nothing until it is instantiated.
    fn count(&mut self, items: u32) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.expanded.items = scope.expanded.items.saturating_add(items.into());
        }
    }

    /// Adds an instance to the component that is being read.
    fn add(&mut self, instance: Expanded) -> Result<(), Refused> {
        let Some(scope) = self.scopes.last_mut() else { return Ok(()) };
        let total = &mut scope.expanded;
        total.core_instances = total.core_instances.saturating_add(instance.core_instances);
        total.component_instances = total.component_instances.saturating_add(instance.component_instances);
        total.items = total.items.saturating_add(instance.items);
        total.passed = total.passed.saturating_add(instance.passed);
        let Expanded { core_instances, component_instances, items, passed } = *total;
        let passed = passed.min(self.limits.core_instances as u64).saturating_mul(self.largest_module);
        let items = items.saturating_add(passed);
        within(core_instances, "core instances", "core_instances", self.limits.core_instances)?;
        let limit = self.limits.component_instances;
        within(component_instances, "component instances", "component_instances", limit)?;
        within(
            items,
            "globals, functions and other items in its instances",
            "instance_items",
            self.limits.instance_items,
        )
    }

    /// Adds a name to the imports or exports, if it is the outermost component's.
    fn name(&mut self, name: &str, list: impl Fn(&mut Names) -> &mut Vec<String>) -> Result<(), Refused> {
        if self.scopes.len() > 1 {
            return Ok(());
        }
        list(&mut self.names).push(name.to_owned());
        let count = self.names.imports.len() + self.names.exports.len();
        let limit = self.limits.imports_and_exports;
        within(count, "imports and exports", "imports_and_exports", limit)
    }
}

/// Refuses a component that has more of something than a limit allows.
fn within(
    found: impl TryInto<u64>,
    unit: &'static str,
    limit: &'static str,
    value: usize,
) -> Result<(), Refused> {
    let (found, value) = (found.try_into().unwrap_or(u64::MAX), value as u64);
    if found <= value {
        return Ok(());
    }
    Err(Refused::Limit(LimitExceeded {
        does: format!("has {found} {unit}, more than"),
        limit,
        value: value.to_string(),
    }))
}

impl From<BinaryReaderError> for Refused {
    fn from(error: BinaryReaderError) -> Self {
        Self::Malformed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The imports and exports of a component in the WebAssembly text format.
    fn names(text: &str) -> Names {
        scan(&wat::parse_str(text).unwrap(), &Limits::default()).unwrap()
    }

    /// The limit that a component exceeds, where the limits are small.
    fn exceeded(wasm: &[u8]) -> String {
        let limits = Limits {
            core_instances: 4,
            component_instances: 8,
            component_nesting: 3,
            functions: 2,
            function_bytes: 10,
            imports_and_exports: 2,
            instance_items: 12,
            ..Limits::default()
        };
        match scan(wasm, &limits) {
            Err(Refused::Limit(LimitExceeded { does, limit, value })) => format!("{does} {limit} = {value}"),
            other => panic!("{other:?}"),
        }
    }

    /// The same for a component in the WebAssembly text format.
    fn exceeded_by(text: &str) -> String {
        exceeded(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn names_are_those_of_the_outermost_component() {
        let found = names(
            r#"(component (import "a" (func)) (component (import "b" (func))) (core module (import "c" "d" (func)))
                (export "e" (func 0)))"#,
        );
        let [imports, exports] = ["a", "e"].map(|name| vec![name.to_owned()]);
        assert_eq!(found, Names { imports, exports });
    }

    #[test]
    fn each_limit_is_named_with_its_value() {
        let functions = "(component (core module (func) (func)) (core module (func)))";
        let large = "(component (core module (func nop nop nop nop nop nop nop nop nop nop)))";
        let imports = r#"(component (import "a" (func)) (import "b" (func)) (import "c" (func)))"#;
        let nested = "(component (component (component (component (component)))))";
        let wide = format!("(component {})", "(component)".repeat(9));
        insta::assert_snapshot!([functions, large, imports, nested, &wide].map(exceeded_by).join("\n"), @"
        has 3 functions, more than functions = 2
        has 12 bytes in one function, more than function_bytes = 10
        has 3 imports and exports, more than imports_and_exports = 2
        has 4 levels of nested components, more than component_nesting = 3
        has 9 component definitions, more than component_instances = 8
        ");
    }

    /// A component that has `levels` levels of components around an innermost one, each of which instantiates the one
    /// inside it twice: 2^levels instances of the innermost one.
    fn doubling(levels: usize, innermost: &str) -> String {
        let level = |level: usize| {
            let inner = level - 1;
            format!(
                "(component $c{level} (alias outer 1 $c{inner} (component $p)) (instance (instantiate $p)) (instance \
                 (instantiate $p)))"
            )
        };
        let all: String = (1..=levels).map(level).collect();
        format!("(component (component $c0 {innermost}) {all} (instance (instantiate $c{levels})))")
    }

    #[test]
    fn instances_are_counted_with_nested_components_expanded() {
        let module = "(core module $m) (core instance (instantiate $m))";
        assert!(scan(&wat::parse_str(doubling(2, module)).unwrap(), &Limits::default()).is_ok());
        assert_eq!(exceeded_by(&doubling(3, module)), "has 8 core instances, more than core_instances = 4");
        assert_eq!(
            exceeded_by(&doubling(3, "")),
            "has 14 component instances, more than component_instances = 8"
        );
    }

    #[test]
    fn everything_that_an_instance_takes_memory_for_is_counted() {
        let costs = [
            ("globals", "(global i32 (i32.const 0))".repeat(5)),
            ("imports", r#"(import "" "" (func))"#.repeat(5)),
            (
                "exports",
                (0..4).map(|name| format!(r#"(export "{name}" (global 0))"#)).collect::<String>()
                    + "(global i32 (i32.const 0))",
            ),
            ("elements", "(elem func 0 0) (elem funcref (ref.null func) (ref.null func)) (func)".to_owned()),
            ("tables", "(table 0 funcref)".repeat(5)),
            ("memories", "(memory 0)".repeat(5)),
            ("data", r#"(data "")"#.repeat(5)),
        ];
        for (what, items) in costs {
            let instances = |count: usize| {
                format!(
                    "(component (core module $m {items}) {})",
                    "(core instance (instantiate $m))".repeat(count)
                )
            };
            assert_eq!(
                exceeded_by(&instances(3)),
                "has 15 globals, functions and other items in its instances, more than instance_items = 12",
                "{what}"
            );
        }
        let module_of_four_items = format!("(core module $g {})", "(global i32 (i32.const 0))".repeat(4));
        let aliased = doubling(2, "(alias outer 1 $g (core module $m)) (core instance (instantiate $m))")
            .replacen("(component ", &format!("(component {module_of_four_items} "), 1);
        assert_eq!(
            exceeded_by(&aliased),
            "has 16 globals, functions and other items in its instances, more than instance_items = 12"
        );
        let functions =
            "(component (core module $m) (core instance $i (instantiate $m)) (core type $t (func))";
        let lowered = format!(
            r#"{functions} (import "f" (func $f)) {})"#,
            "(core func (canon lower (func $f)))".repeat(13)
        );
        assert_eq!(
            exceeded_by(&lowered),
            "has 13 globals, functions and other items in its instances, more than instance_items = 12"
        );
    }

    #[test]
    fn modules_and_components_passed_as_arguments_are_counted() {
        let module = format!("(core module $g {})", "(global i32 (i32.const 0))".repeat(4));
        let four_instances = "(core instance (instantiate $m))".repeat(4);
        let passed_module = format!(
            r#"(component (component $c (import "m" (core module $m)) {four_instances}) {module}
                (instance (instantiate $c (with "m" (core module $g)))))"#
        );
        let passed_component = format!(
            r#"(component (component $c (import "x" (component $x)) (instance (instantiate $x)))
                (component $d {module} (core instance (instantiate $g)))
                (instance (instantiate $c (with "x" (component $d)))))"#
        );
        for component in [passed_module, passed_component] {
            assert_eq!(
                exceeded_by(&component),
                "has 16 globals, functions and other items in its instances, more than instance_items = 12"
            );
        }
    }

    #[test]
    fn a_module_that_is_not_instantiated_costs_nothing() {
        let component = format!("(component (core module {}))", "(global i32 (i32.const 0))".repeat(100));
        let limits = Limits { instance_items: 12, ..Limits::default() };
        assert!(scan(&wat::parse_str(component).unwrap(), &limits).is_ok());
    }

    #[test]
    fn deep_nesting_is_scanned_without_recursion() {
        const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
        // Built from the inside to the outside with its bytes reversed, because prepending to a vector would be slow.
        let mut reversed: Vec<u8> = HEADER.iter().rev().copied().collect();
        for _ in 0..100_000 {
            let size = reversed.len();
            // A section of a nested component: id 4, then its size in LEB128 padded to five bytes.
            let leb128 = [size, size >> 7, size >> 14, size >> 21].map(|part| (part & 0x7f) as u8 | 0x80);
            reversed.extend([0, leb128[3], leb128[2], leb128[1], leb128[0], 4]);
            reversed.extend(HEADER.iter().rev());
        }
        reversed.reverse();
        assert_eq!(exceeded(&reversed), "has 4 levels of nested components, more than component_nesting = 3");
    }

    proptest! {
        #[test]
        fn damaged_components_do_not_panic(
            cut in any::<prop::sample::Index>(),
            position in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let innermost = "(core module $m (func)) (core instance (instantiate $m))";
            let mut component = wat::parse_str(doubling(3, innermost)).unwrap();
            let position = position.index(component.len());
            component[position] = byte;
            component.truncate(cut.index(component.len() + 1));
            let _ = scan(&component, &Limits::default());
        }
    }
}
