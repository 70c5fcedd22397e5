//! How the program gets memory from the system.

/// Large enough that what is made anew for each batch or document stays in the heap.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 4 << 20;

/// Has all threads allocate from one heap, and large buffers from the system. By default glibc gives each thread a heap
/// and keeps in it what was freed, large buffers included, so that with the many threads of a run memory would grow with
/// the export while what is in use does not.
#[allow(unsafe_code, reason = "the only way to set it in the program itself")]
pub fn configure_allocator() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two integers, and no other thread runs yet.
    for (option, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, LARGE)] {
        let _is_set = unsafe { libc::mallopt(option, value) };
    }
}
