//! Fuzz target: what comes over felix-lite's CNI socket.

#![cfg_attr(fuzzing, no_main)]

cairn_cni_fuzz::fuzz_main!(cairn_cni_fuzz::cni_socket);
