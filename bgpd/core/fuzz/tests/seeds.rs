//! The seeds of every target, through the target, without a fuzzer.

use std::fs;
use std::path::Path;

use bgp_core_fuzz::{bgp_open, bgp_sessions, bgp_stream, bgp_update, policy, prefix, selector};

/// Runs a target over its seeds: `.hex` files hold hex digits, blanks and `#` comments, `.lines` files an input in hex on each line, `.txt` files
/// one as it is, `.yaml` files are one.
fn replay(name: &str, target: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name);
    let mut count = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("hex") => target(&octets(&text)),
            Some("lines") => text.lines().for_each(|line| target(&octets(line))),
            Some("yaml") => target(text.as_bytes()),
            Some("txt") => text.lines().for_each(|line| target(line.as_bytes())),
            _ => panic!("{} is no seed", path.display()),
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
fn open_seeds_pass() {
    replay("bgp-open", bgp_open);
}

#[test]
fn update_seeds_pass() {
    replay("bgp-update", bgp_update);
}

#[test]
fn stream_seeds_pass() {
    replay("bgp-stream", bgp_stream);
}

#[test]
fn policy_seeds_pass() {
    replay("policy", policy);
}

#[test]
fn session_seeds_pass() {
    replay("bgp-sessions", bgp_sessions);
}

#[test]
fn prefix_seeds_pass() {
    replay("prefix", prefix);
}

#[test]
fn selector_seeds_pass() {
    replay("selector", selector);
}

/// Without a fuzzer, what a generator of numbers makes up.
#[test]
fn any_sequence_of_events_is_survived() {
    let mut state = 1u64;
    for _ in 0..300 {
        let octets: Vec<u8> = (0..200)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            })
            .collect();
        bgp_sessions(&octets);
    }
}
