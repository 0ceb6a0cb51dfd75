//! What the fuzz targets do with their octets.
//!
//! Each function takes any octets and must not panic; it also checks what must hold of whatever decodes. `cargo xtask
//! fuzz` runs them under libFuzzer; `tests/seeds.rs` replays the seeds in `bgpd/core/testdata` without it.

mod message;
mod policy;
mod prefix;
mod selector;
mod sessions;

pub use message::{bgp_open, bgp_stream, bgp_update};
pub use policy::policy;
pub use prefix::prefix;
pub use selector::selector;
pub use sessions::bgp_sessions;

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
