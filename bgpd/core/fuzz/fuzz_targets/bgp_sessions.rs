#![cfg_attr(fuzzing, no_main)]
#![doc = "Fuzz target, see the library."]

bgp_core_fuzz::fuzz_main!(bgp_core_fuzz::bgp_sessions);
