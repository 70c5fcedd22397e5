//! Builds small components in the WebAssembly text format, each of which is hostile in one way.

/// A component that exports the interfaces of a plug-in, around a core module with the function `d`. Its functions have
/// other types than the contract's, which the host finds out after the module's start function has run.
pub(crate) fn plugin(module: &str) -> Vec<u8> {
    let body = format!(
        r#"(core module $m {module})
        (core instance $i (instantiate $m))
        (func $d (canon lift (core func $i "d")))"#
    );
    exporting(&body)
}

/// A component that exports its function `$d` as each function of the contract.
pub(crate) fn exporting(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(component {body}
            (instance $manifest (export "describe" (func $d)) (export "configure" (func $d)))
            (instance $transform (export "run" (func $d)))
            (export "product-indexer:plugin/manifest@0.1.0" (instance $manifest))
            (export "product-indexer:plugin/transform@0.1.0" (instance $transform)))"#
    );
    wat::parse_str(text).unwrap()
}

/// A plug-in whose start function consists of the given instructions.
pub(crate) fn starting(definitions: &str, instructions: &str) -> Vec<u8> {
    plugin(&format!(r#"{definitions} (func $s {instructions}) (start $s) (func (export "d"))"#))
}

/// A plug-in that instantiates a component that instantiates a second one twice, which instantiates a third one twice,
/// and so on: 2^levels instances of the innermost one.
pub(crate) fn doubling(levels: usize) -> Vec<u8> {
    let level = |level: usize| {
        format!(
            "(component $c{level} (alias outer 1 $c{} (component $p)) (instance (instantiate $p)) (instance (instantiate $p)))",
            level - 1
        )
    };
    let levels_text: String = (1..=levels).map(level).collect();
    exporting(&format!(
        r#"(component $c0 (core module $m (memory 0)) (core instance (instantiate $m)))
        {levels_text}
        (instance (instantiate $c{levels}))
        (core module $m (func (export "d")))
        (core instance $i (instantiate $m))
        (func $d (canon lift (core func $i "d")))"#
    ))
}

/// Components nested inside each other, `levels` deep.
pub(crate) fn nested(levels: usize) -> Vec<u8> {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    // Built from the inside to the outside with its bytes reversed, because prepending to a vector would be slow.
    let mut reversed: Vec<u8> = HEADER.iter().rev().copied().collect();
    for _ in 0..levels {
        let mut section = HEADER.to_vec();
        // The id of a section with a nested component; its size in LEB128 follows.
        section.push(4);
        let mut size = reversed.len();
        while size >= 0x80 {
            section.push((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        section.push(size as u8);
        reversed.extend(section.iter().rev());
    }
    reversed.reverse();
    reversed
}

/// A plug-in with one function of about `bytes` bytes, which is never called.
pub(crate) fn with_function_of(bytes: usize) -> Vec<u8> {
    /// Adds 1 to the parameter.
    const STEP: &str = "local.get 0 i32.const 1 i32.add local.set 0 ";
    /// Bytes of `STEP` in the binary format.
    const STEP_BYTES: usize = 7;
    let instructions = STEP.repeat(bytes / STEP_BYTES);
    plugin(&format!(r#"(func (param i32) {instructions}) (func (export "d"))"#))
}
