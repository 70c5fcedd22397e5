//! Small components, written or generated here, each of which is hostile in one way.

/// A component that exports what a plug-in has, around a core module with the function `d`. Its functions have other types than the
/// contract's, which shows after its start function has run.
pub(crate) fn plugin(module: &str) -> Vec<u8> {
    let body = format!(
        r#"(core module $m {module})
        (core instance $i (instantiate $m))
        (func $d (canon lift (core func $i "d")))"#
    );
    exporting(&body)
}

/// A component with the function `$d` as each function of the contract.
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

/// A plug-in whose start function has some instructions, one after the other.
pub(crate) fn starting(definitions: &str, instructions: &str) -> Vec<u8> {
    plugin(&format!(r#"{definitions} (func $s {instructions}) (start $s) (func (export "d"))"#))
}

/// A plug-in that instantiates a component which instantiates another one twice, and so on.
pub(crate) fn doubling(levels: usize) -> Vec<u8> {
    let level = |k: usize| {
        format!(
            "(component $c{k} (alias outer 1 $c{} (component $p)) (instance (instantiate $p)) (instance (instantiate $p)))",
            k - 1
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

/// A component within a component, and so on.
pub(crate) fn nested(levels: usize) -> Vec<u8> {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    // Built from the inside, with the bytes in reverse, so that it takes time in proportion to its size.
    let mut reversed: Vec<u8> = HEADER.iter().rev().copied().collect();
    for _ in 0..levels {
        let mut section = HEADER.to_vec();
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

/// A plug-in with one function of about this many bytes.
pub(crate) fn with_function_of(bytes: usize) -> Vec<u8> {
    const STEP: &str = "local.get 0 i32.const 1 i32.add local.set 0 ";
    const STEP_BYTES: usize = 7;
    let instructions = STEP.repeat(bytes / STEP_BYTES);
    plugin(&format!(r#"(func (param i32) {instructions}) (func (export "d"))"#))
}
