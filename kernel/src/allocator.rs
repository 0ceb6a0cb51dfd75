//! How the C library's allocator deals with large pieces of memory.
#![allow(unsafe_code)]

/// What is as large as this gets pages of its own, and gives them back when it is freed. The C library begins with the same, but raises it to the largest piece
/// that was ever freed: the growing tables of a daemon then leave their earlier, smaller selves behind as holes.
#[cfg(target_env = "gnu")]
const OWN_PAGES: libc::c_int = 128 << 10;
/// So much free memory is kept at the end of the heap, to be used again without asking the kernel.
#[cfg(target_env = "gnu")]
const KEPT: libc::c_int = 1 << 20;

/// From now on memory of large tables is given back to the system when they have outgrown it. To be called before they are made.
/// Other C libraries than glibc do so anyway, and are left as they are.
pub fn give_back_large() {
    #[cfg(target_env = "gnu")]
    for (option, value) in [(libc::M_MMAP_THRESHOLD, OWN_PAGES), (libc::M_TRIM_THRESHOLD, KEPT)] {
        // SAFETY: the call sets a number within the allocator, under its lock.
        let taken = unsafe { libc::mallopt(option, value) };
        debug_assert_eq!(taken, 1, "glibc takes both numbers");
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    /// Octets in the heap that are free, between or behind what is used.
    fn holes() -> usize {
        // SAFETY: the call fills a plain structure of numbers.
        unsafe { libc::mallinfo2() }.fordblks
    }

    #[test]
    fn a_table_leaves_no_holes_where_it_was_smaller() {
        give_back_large();
        // Without it the library would take this for the usual size from now on.
        drop(vec![1_u8; 8 << 20]);
        let before = holes();
        let mut tables: Vec<Vec<u8>> = (0..4).map(|_| Vec::with_capacity(1 << 18)).collect();
        for size in [1 << 19, 1 << 20, 1 << 21] {
            tables.iter_mut().for_each(|table| table.reserve_exact(size));
        }
        assert!(holes() < before + (1 << 20), "{} octets more", holes() - before);
    }
}
