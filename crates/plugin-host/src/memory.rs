//! The linear memory of guests, and how they are interrupted: by taking away what their safepoints read.

use rustix::{
    io,
    mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap},
};
use std::{
    cell::RefCell,
    ffi::c_void,
    ops::Range,
    ptr::null_mut,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

thread_local! {
    /// Whose memories are made on this thread.
    static OWNER: RefCell<Option<Interrupt>> = const { RefCell::new(None) };
}

/// Interrupts one instance: its safepoints trap from then on, so that it has to be thrown away.
#[derive(Clone, Default)]
pub(super) struct Interrupt(Arc<Mutex<Polled>>);

#[derive(Default)]
struct Polled {
    /// What the safepoints read, one for each memory of the instance that is there.
    pages: Vec<Pages>,
    is_raised: bool,
}

/// A part of the address space of a memory.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pages {
    start: *mut c_void,
    bytes: usize,
}

/// Makes the memories of guests.
pub(super) struct Memories {
    /// Where in each memory its safepoints read.
    pub(super) polled: Range<u32>,
}

/// A memory: what the guest has, room to grow up to what is polled, and nothing from there on.
struct Memory {
    reserved: Pages,
    capacity: usize,
    bytes: usize,
    polled: Pages,
    interrupt: Interrupt,
}

impl Interrupt {
    /// Interrupts the instance, now or as soon as it runs.
    pub(super) fn raise(&self) {
        let mut polled = self.lock();
        polled.is_raised = true;
        for pages in &polled.pages {
            pages.allow(MprotectFlags::empty()).expect("pages of one mapping can be protected");
        }
    }

    /// Whether the instance was interrupted.
    pub(super) fn is_raised(&self) -> bool {
        self.lock().is_raised
    }

    /// Makes an instance that this interrupts.
    pub(super) fn own<T>(&self, instantiate: impl FnOnce() -> T) -> T {
        let before = OWNER.replace(Some(self.clone()));
        let made = instantiate();
        OWNER.set(before);
        made
    }

    fn lock(&self) -> MutexGuard<'_, Polled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(unsafe_code, reason = "the trait asks for a promise")]
// SAFETY: `Memory` keeps what `MemoryCreator` asks for, see there.
unsafe impl MemoryCreator for Memories {
    fn new_memory(
        &self,
        _type: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let reserved = reserved.unwrap_or(self.polled.end as usize) + guard;
        let interrupt = OWNER.with_borrow(Clone::clone).unwrap_or_default();
        let made = Memory::new(minimum, reserved, &self.polled, interrupt);
        made.map(|memory| Box::new(memory) as _)
            .map_err(|error| format!("no address space for its memory: {error}"))
    }
}

impl Memory {
    fn new(minimum: usize, reserved: usize, polled: &Range<u32>, interrupt: Interrupt) -> io::Result<Self> {
        let reserved = Pages::reserve(reserved)?;
        let polled = reserved.part(polled.start as usize, polled.len());
        let mut memory = Self {
            capacity: polled.start.addr() - reserved.start.addr(),
            reserved,
            bytes: 0,
            polled,
            interrupt,
        };
        memory.grow(minimum)?;
        let mut owner = memory.interrupt.lock();
        if !owner.is_raised {
            polled.allow(MprotectFlags::READ)?;
        }
        owner.pages.push(polled);
        drop(owner);
        Ok(memory)
    }

    fn grow(&mut self, bytes: usize) -> io::Result<()> {
        if bytes < self.bytes || bytes > self.capacity {
            return Err(io::Errno::NOMEM);
        }
        self.reserved
            .part(self.bytes, bytes - self.bytes)
            .allow(MprotectFlags::READ | MprotectFlags::WRITE)?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Before the address space is somebody else's.
        self.interrupt.lock().pages.retain(|pages| *pages != self.polled);
        self.reserved.release();
    }
}

#[allow(unsafe_code, reason = "the trait asks for a promise")]
// SAFETY: the memory never moves, is zero where it was not written, grows up to `byte_capacity` and is followed by the guard that was
// asked for. What is polled lies behind the capacity and can be read, never written: a guest that reads it on its own gets zeros.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.bytes
    }

    fn byte_capacity(&self) -> usize {
        self.capacity
    }

    fn grow_to(&mut self, bytes: usize) -> wasmtime::Result<()> {
        Ok(self.grow(bytes)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.reserved.start.cast()
    }
}

#[allow(
    unsafe_code,
    reason = "an address may go to any thread; what is done with it there is the methods' affair"
)]
// SAFETY: as said.
unsafe impl Send for Pages {}
#[allow(
    unsafe_code,
    reason = "an address may go to any thread; what is done with it there is the methods' affair"
)]
// SAFETY: as said.
unsafe impl Sync for Pages {}

impl Pages {
    /// Address space that can be neither read nor written, and takes no memory.
    #[allow(unsafe_code, reason = "memory is mapped")]
    fn reserve(bytes: usize) -> io::Result<Self> {
        // SAFETY: the kernel chooses the place, so that nothing else is touched.
        let start = unsafe {
            mmap_anonymous(null_mut(), bytes, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)?
        };
        Ok(Self { start, bytes })
    }

    fn part(self, start: usize, bytes: usize) -> Self {
        assert!(
            start.checked_add(bytes).is_some_and(|end| end <= self.bytes),
            "a part lies within the whole"
        );
        Self { start: self.start.wrapping_byte_add(start), bytes }
    }

    #[allow(unsafe_code, reason = "the protection of memory is changed")]
    fn allow(self, access: MprotectFlags) -> io::Result<()> {
        // SAFETY: these pages were reserved here and are released by `Memory` alone, which first makes sure that nobody else knows them.
        // Rust holds no reference into them while a guest runs, and the guest is made for access that is refused.
        unsafe { mprotect(self.start, self.bytes, access) }
    }

    #[allow(unsafe_code, reason = "memory is unmapped")]
    fn release(self) {
        // SAFETY: called once, with what `reserve` returned, when wasmtime has let go of the memory.
        let released = unsafe { munmap(self.start, self.bytes) };
        released.expect("what was mapped can be unmapped");
    }
}

/// Whether the system grants this much address space.
pub(super) fn can_reserve(bytes: usize) -> bool {
    Pages::reserve(bytes).inspect(|pages| pages.release()).is_ok()
}
