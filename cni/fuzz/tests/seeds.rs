//! The seeds of the fuzz targets, replayed: each must be taken without a panic, and most must be understood.

use cairn_cni_fuzz::{cni_input, cni_socket};

fn lines(target: &str) -> Vec<String> {
    let path = format!("{}/../testdata/{target}/seeds.txt", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Runs a target over what fuzzing has learned, if anything is kept of it: an input in hex on each line.
fn learned(target: &str, run: fn(&[u8])) {
    let path = format!("{}/../testdata/{target}/learned.lines", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    for line in text.lines() {
        let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
        let octets: Vec<u8> =
            line.as_bytes().chunks(2).map(|pair| octet(pair).expect("hex digits")).collect();
        run(&octets);
    }
}

#[test]
fn seeds_of_the_plugins_input_pass() {
    let seeds = lines("cni-input");
    assert!(seeds.len() >= 6);
    seeds.iter().for_each(|seed| cni_input(seed.as_bytes()));
    learned("cni-input", cni_input);
}

#[test]
fn seeds_of_the_socket_pass() {
    let seeds = lines("cni-socket");
    assert!(seeds.len() >= 5);
    seeds.iter().for_each(|seed| cni_socket(seed.as_bytes()));
    learned("cni-socket", cni_socket);
}

#[test]
fn torn_and_random_input_passes() {
    for seed in lines("cni-input") {
        for cut in 0..seed.len() {
            cni_input(&seed.as_bytes()[..cut]);
            let mut flipped = seed.clone().into_bytes();
            flipped[cut] ^= 0x15;
            cni_input(&flipped);
        }
    }
}
