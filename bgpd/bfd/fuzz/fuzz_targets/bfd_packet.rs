#![cfg_attr(fuzzing, no_main)]
#![doc = "Fuzz target, see the library."]

bfd_core_fuzz::fuzz_main!(bfd_core_fuzz::bfd_packet);
