//! Fuzz target: what a runtime gives the plugin.

#![cfg_attr(fuzzing, no_main)]

cairn_cni_fuzz::fuzz_main!(cairn_cni_fuzz::cni_input);
