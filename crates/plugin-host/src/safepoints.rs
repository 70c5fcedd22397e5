//! Safepoints: where a guest can be interrupted.
//!
//! A guest that does not come back has to be stopped from outside. The engine's own way, to compare a clock at each function and
//! each loop, costs a Rust plug-in about an eighth of its time. Here the guest reads a byte instead, of a page that lies behind its
//! memory, and throws it away; whoever wants to interrupt it takes that page away, and the next read is a trap. Wasmtime's compiler
//! knows no such thing, so the reads are put into the component before it is compiled. They are atomic because a compiler may leave
//! out a read that was done before, by another safepoint or by a guest that wants it so, but no atomic one.

use wasm_encoder::{Encode, Instruction, MemArg, RawSection, Section};
use wasmparser::{
    BinaryReader, BinaryReaderError, CodeSectionReader, FunctionBody, ImportSectionReader,
    MemorySectionReader, Operator, TypeRef,
};

/// Goes up with each change of what is put into components, so that code compiled before is not taken from a cache.
pub(super) const VERSION: u32 = 1;

/// Magic, version and layer.
const HEADER_BYTES: usize = 8;

/// Ids of sections in a component.
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// Ids of sections in a core module.
const IMPORT: u8 = 2;
const MEMORY: u8 = 5;
const CODE: u8 = 10;

/// One memory, without pages.
const EMPTY_MEMORY: [u8; 3] = [1, 0, 0];

/// The component with a safepoint at the head of each loop and at the start of each function that calls one: whatever goes on
/// without end passes one again and again. All else stays as it is, byte by byte. What is not valid does
/// not get valid by this. `polled` is the address that they read.
pub(super) fn add(component: &[u8], polled: u32) -> Result<Vec<u8>, BinaryReaderError> {
    let (mut made, sections) = open(component)?;
    for section in sections {
        let (id, content) = section?;
        match id {
            CORE_MODULE => append(&mut made, id, &module(content, polled)?),
            COMPONENT => append(&mut made, id, &add(content, polled)?),
            _ => append(&mut made, id, content),
        }
    }
    Ok(made)
}

fn module(module: &[u8], polled: u32) -> Result<Vec<u8>, BinaryReaderError> {
    let mut has_memory = has_memory(module)?;
    let (mut made, sections) = open(module)?;
    for section in sections {
        let (id, content) = section?;
        // The sections have an order, but for custom ones; memories come before all with a higher number.
        if !has_memory && id >= MEMORY {
            append(&mut made, MEMORY, &EMPTY_MEMORY);
            has_memory = true;
            if id == MEMORY {
                continue;
            }
        }
        match id {
            CODE => append(&mut made, id, &code(content, polled)?),
            _ => append(&mut made, id, content),
        }
    }
    Ok(made)
}

/// Whether a module imports or defines a memory. Safepoints read the first one.
fn has_memory(module: &[u8]) -> Result<bool, BinaryReaderError> {
    for section in open(module)?.1 {
        let (id, content) = section?;
        let content = BinaryReader::new(content, 0);
        match id {
            IMPORT => {
                for import in ImportSectionReader::new(content)?.into_imports() {
                    if matches!(import?.ty, TypeRef::Memory(_)) {
                        return Ok(true);
                    }
                }
            }
            MEMORY => return Ok(MemorySectionReader::new(content)?.count() > 0),
            _ => {}
        }
    }
    Ok(false)
}

fn code(content: &[u8], polled: u32) -> Result<Vec<u8>, BinaryReaderError> {
    let bodies = CodeSectionReader::new(BinaryReader::new(content, 0))?;
    let mut made = Vec::with_capacity(content.len() + content.len() / 8);
    bodies.count().encode(&mut made);
    for body in bodies {
        function(content, &body?, polled)?.encode(&mut made);
    }
    Ok(made)
}

/// The body of a function with its safepoints.
fn function(content: &[u8], body: &FunctionBody<'_>, polled: u32) -> Result<Vec<u8>, BinaryReaderError> {
    let mut operators = body.get_operators_reader()?;
    let start = operators.original_position();
    let mut heads = Vec::new();
    let mut calls = false;
    while !operators.eof() {
        match operators.read()? {
            Operator::Loop { .. } => heads.push(operators.original_position()),
            Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::CallRef { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. } => calls = true,
            _ => {}
        }
    }
    let mut made = Vec::with_capacity(body.range().len() + 16 * heads.len());
    let mut copied = body.range().start;
    for position in calls.then_some(start).into_iter().chain(heads) {
        made.extend_from_slice(&content[copied..position]);
        Instruction::I32Const(polled.cast_signed()).encode(&mut made);
        Instruction::I32AtomicLoad8U(MemArg { offset: 0, align: 0, memory_index: 0 }).encode(&mut made);
        Instruction::Drop.encode(&mut made);
        copied = position;
    }
    made.extend_from_slice(&content[copied..body.range().end]);
    Ok(made)
}

fn append(made: &mut Vec<u8>, id: u8, data: &[u8]) {
    RawSection { id, data }.append_to(made);
}

/// The header of a binary, to go on from, and its sections.
fn open(binary: &[u8]) -> Result<(Vec<u8>, Sections<'_>), BinaryReaderError> {
    let mut reader = BinaryReader::new(binary, 0);
    let header = reader.read_bytes(HEADER_BYTES)?.to_vec();
    Ok((header, Sections(reader)))
}

/// The sections of a component or a core module, each with its id.
struct Sections<'a>(BinaryReader<'a>);

impl<'a> Iterator for Sections<'a> {
    type Item = Result<(u8, &'a [u8]), BinaryReaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.eof()).then(|| {
            let id = self.0.read_u8()?;
            let size = self.0.read_var_u32()?;
            Ok((id, self.0.read_bytes(size as usize)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLLED: u32 = 0x1000_0000;

    /// The text of a component after it got its safepoints.
    fn added(text: &str) -> Vec<u8> {
        add(&wat::parse_str(text).unwrap(), POLLED).unwrap()
    }

    #[test]
    fn loops_and_functions_that_call_get_safepoints() {
        let given = r#"(component (core module
            (memory 1)
            (func $leaf (nop))
            (func $caller (local i64) (call $leaf) (loop (loop (br 0))))
            (@custom "kept" "as it is")))"#;
        let expected = r#"(component (core module
            (memory 1)
            (func $leaf (nop))
            (func $caller (local i64)
                (drop (i32.atomic.load8_u (i32.const 0x10000000)))
                (call $leaf)
                (loop (drop (i32.atomic.load8_u (i32.const 0x10000000)))
                    (loop (drop (i32.atomic.load8_u (i32.const 0x10000000))) (br 0))))
            (@custom "kept" "as it is")))"#;
        assert_eq!(added(given), wat::parse_str(expected).unwrap());
    }

    #[test]
    fn a_module_without_memory_gets_one_in_its_place() {
        let given =
            r#"(component (core module (table 1 funcref) (global i32 (i32.const 0)) (func (loop (br 0)))))"#;
        let expected = r#"(component (core module (table 1 funcref) (memory 0) (global i32 (i32.const 0))
            (func (loop (drop (i32.atomic.load8_u (i32.const 0x10000000))) (br 0)))))"#;
        assert_eq!(added(given), wat::parse_str(expected).unwrap());
        let imported = r#"(component (core module (import "" "" (memory 1)) (func (loop))))"#;
        let expected = r#"(component (core module (import "" "" (memory 1))
            (func (loop (drop (i32.atomic.load8_u (i32.const 0x10000000)))))))"#;
        assert_eq!(added(imported), wat::parse_str(expected).unwrap());
    }

    proptest! {
        #[test]
        fn damaged_components_are_errors_and_no_more(
            cut in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut component = wat::parse_str(
                r#"(component (component (core module (import "a" "b" (func)) (memory 1) (func (loop (call 0)))))
                    (core module (func (local i32 i64) (loop (br 0)))))"#,
            ).unwrap();
            let at = at.index(component.len());
            component[at] = byte;
            component.truncate(cut.index(component.len() + 1));
            // It ends, and does not panic.
            let _ = add(&component, POLLED);
        }
    }
}
