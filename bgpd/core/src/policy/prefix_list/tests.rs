use proptest::prelude::*;

use super::*;

fn entry(text: &str, ge: Option<u8>, le: Option<u8>, permit: bool) -> PrefixEntry {
    PrefixEntry::new(text.parse().unwrap(), ge, le, permit).unwrap()
}

fn permits(list: &PrefixList, text: &str) -> bool {
    list.permits(text.parse().unwrap())
}

#[test]
fn an_entry_without_bounds_is_exact() {
    let list = PrefixList::new(vec![entry("10.0.0.0/8", None, None, true)]);
    assert!(permits(&list, "10.0.0.0/8"));
    assert!(!permits(&list, "10.0.0.0/9"));
    assert!(!permits(&list, "0.0.0.0/0"));
}

#[test]
fn ge_and_le_bound_the_length() {
    let list = PrefixList::new(vec![entry("10.0.0.0/8", Some(16), Some(24), true)]);
    for (prefix, expected) in [
        ("10.0.0.0/8", false),
        ("10.1.0.0/16", true),
        ("10.1.2.0/24", true),
        ("10.1.2.0/25", false),
        ("11.1.0.0/16", false),
    ] {
        assert_eq!(permits(&list, prefix), expected, "{prefix}");
    }
    let list = PrefixList::new(vec![entry("fd00::/8", Some(64), None, true)]);
    assert!(permits(&list, "fd00::1/128"));
    assert!(!permits(&list, "fd00::/48"));
}

#[test]
fn the_first_entry_decides_even_if_a_later_one_is_closer() {
    let list = PrefixList::new(vec![
        entry("10.0.0.0/8", None, Some(32), false),
        entry("10.1.0.0/16", None, Some(32), true),
        entry("0.0.0.0/0", None, Some(32), true),
    ]);
    assert!(!permits(&list, "10.1.2.0/24"));
    assert!(permits(&list, "192.0.2.0/24"));
    assert!(!permits(&list, "::/0"));
}

#[test]
fn an_empty_list_denies() {
    assert!(!permits(&PrefixList::default(), "10.0.0.0/8"));
}

#[test]
fn impossible_bounds_are_refused() {
    let prefix = "10.0.0.0/8".parse().unwrap();
    for (ge, le) in [(Some(7), None), (None, Some(7)), (Some(25), Some(24)), (None, Some(33))] {
        let error = PrefixEntry::new(prefix, ge, le, true).unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
    }
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    // Few distinct bits, so that entries often cover the queries.
    let v4 = (prop::sample::select(vec![0u32, 0x0a00_0000, 0x0a01_0000, 0x0a01_0203, 0xffff_ffff]), 0..=32u8)
        .prop_map(|(addr, len)| (std::net::Ipv4Addr::from(addr).into(), len));
    let v6 = (prop::sample::select(vec![0u128, 1, 0xfd << 120, (0xfd << 120) + 7]), 0..=128u8)
        .prop_map(|(addr, len)| (std::net::Ipv6Addr::from(addr).into(), len));
    prop_oneof![v4, v6].prop_map(|(addr, len)| Prefix::containing(addr, len).unwrap())
}

fn any_entry() -> impl Strategy<Value = PrefixEntry> {
    (any_prefix(), any::<(u8, u8, bool)>()).prop_map(|(prefix, (a, b, permit))| {
        let span = prefix.family().bits() - prefix.len() + 1;
        let (a, b) = (prefix.len() + a % span, prefix.len() + b % span);
        PrefixEntry::new(prefix, Some(a.min(b)), Some(a.max(b)), permit).unwrap()
    })
}

proptest! {
    #[test]
    fn the_index_agrees_with_a_linear_search(
        entries in prop::collection::vec(any_entry(), 0..40),
        query in any_prefix(),
    ) {
        let linear =
            entries.iter().position(|e| e.prefix.covers(query) && e.min <= query.len() && query.len() <= e.max);
        prop_assert_eq!(PrefixList::new(entries).first_match(query), linear);
    }
}
