//! The memory of the component: blocks of a few sizes that are handed out again and again.
//!
//! A transform asks for hundreds of small blocks a product and gives them all back. A list of free blocks for each size answers
//! that in a few instructions; with a general allocator alone a batch takes a fifth longer. Larger blocks, and the pieces that
//! small ones are cut from, come from that general allocator.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr;

use talc::wasm::{WasmDynamicTalc, new_wasm_dynamic_allocator};

/// Sizes are powers of two from this one on, which is also how all small blocks are aligned.
const SMALLEST: usize = 16;
/// The largest small block has 16 KiB.
const SIZES: usize = 11;
/// What is taken from the general allocator at once, to be cut into small blocks.
const PIECE: Layout = match Layout::from_size_align(64 << 10, SMALLEST) {
    Ok(layout) => layout,
    Err(_) => panic!("an alignment is a power of two"),
};

pub(crate) struct SizeClasses {
    small: UnsafeCell<Small>,
    large: WasmDynamicTalc,
}

struct Small {
    /// The first free block of each size; each free block begins with the address of the next one.
    free: [*mut u8; SIZES],
    /// What is left of the last piece.
    rest: *mut u8,
    rest_bytes: usize,
}

// SAFETY: a component has one thread.
#[allow(unsafe_code)]
unsafe impl Sync for SizeClasses {}

impl SizeClasses {
    pub(crate) const fn new() -> Self {
        let small = Small { free: [ptr::null_mut(); SIZES], rest: ptr::null_mut(), rest_bytes: 0 };
        SizeClasses { small: UnsafeCell::new(small), large: new_wasm_dynamic_allocator() }
    }
}

/// Which size of small blocks a layout fits, or `SIZES` and above if none.
#[inline]
fn size_class(layout: Layout) -> usize {
    if layout.align() > SMALLEST {
        return SIZES;
    }
    (layout.size().max(SMALLEST) - 1).ilog2() as usize + 1 - SMALLEST.ilog2() as usize
}

// SAFETY: a block of a class has the class's size, which is at least the layout's, and begins at a multiple of `SMALLEST`,
// because pieces do and sizes are multiples of it. A block is on a free list or with its owner, never both: `alloc` takes it
// off the list, `dealloc` puts it on, and both find the same class, because the layout is the same. No reference into
// `small` outlives a call.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for SizeClasses {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = size_class(layout);
        unsafe {
            if class >= SIZES {
                return self.large.alloc(layout);
            }
            let small = &mut *self.small.get();
            let block = small.free[class];
            if block.is_null() {
                return self.cut(small, SMALLEST << class);
            }
            small.free[class] = block.cast::<*mut u8>().read();
            block
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let class = size_class(layout);
        unsafe {
            if class >= SIZES {
                return self.large.dealloc(block, layout);
            }
            let small = &mut *self.small.get();
            block.cast::<*mut u8>().write(small.free[class]);
            small.free[class] = block;
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe {
            let wanted = Layout::from_size_align_unchecked(size, layout.align());
            match (size_class(layout), size_class(wanted)) {
                (one, other) if one == other && one < SIZES => block,
                (SIZES.., SIZES..) => self.large.realloc(block, layout, size),
                _ => {
                    let moved = self.alloc(wanted);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

impl SizeClasses {
    /// Cuts a block off the last piece, or off a new one; what is left of the old piece is not used again.
    ///
    /// # Safety
    /// `bytes` is the size of a class.
    #[allow(unsafe_code)]
    #[cold]
    unsafe fn cut(&self, small: &mut Small, bytes: usize) -> *mut u8 {
        unsafe {
            if small.rest_bytes < bytes {
                let piece = self.large.alloc(PIECE);
                if piece.is_null() {
                    return piece;
                }
                (small.rest, small.rest_bytes) = (piece, PIECE.size());
            }
            let block = small.rest;
            small.rest = block.add(bytes);
            small.rest_bytes -= bytes;
            block
        }
    }
}
