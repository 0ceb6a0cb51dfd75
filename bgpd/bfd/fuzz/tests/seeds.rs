//! The seeds of every target, through the target, without a fuzzer.

use std::fs;
use std::path::Path;

use bfd_core_fuzz::{bfd_events, bfd_packet};

/// Runs a target over its seeds: files of hex digits, blanks and `#` comments, and `.lines` files with an input on each line.
fn replay(name: &str, target: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name);
    let mut count = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "lines") {
            text.lines().for_each(|line| target(&octets(line)));
        } else {
            target(&octets(&text));
        }
        count += 1;
    }
    assert!(count > 0, "no seeds in {}", directory.display());
}

fn octets(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("hex digits"))
        .collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

#[test]
fn packet_seeds_pass() {
    replay("bfd-packet", bfd_packet);
}

#[test]
fn event_seeds_pass() {
    replay("bfd-events", bfd_events);
}
