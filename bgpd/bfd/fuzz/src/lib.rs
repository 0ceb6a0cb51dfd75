//! What the fuzz targets do with their octets.
//!
//! Each function takes any octets and must not panic; it also checks what must hold whatever comes. `cargo xtask fuzz` runs
//! them under libFuzzer; `tests/seeds.rs` replays the seeds in `bgpd/bfd/testdata` without it.

mod events;
mod packet;

pub use events::bfd_events;
pub use packet::bfd_packet;

/// The `main` of a fuzz target: libFuzzer's, or one that names the way to it.
#[macro_export]
macro_rules! fuzz_main {
    ($target:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|octets: &[u8]| $target(octets));

        #[cfg(not(fuzzing))]
        fn main() {
            eprintln!("built without libFuzzer: run `cargo xtask fuzz`");
        }
    };
}
