//! Our nf_tables against the kernel's, with `nft` as the oracle. Each test has a namespace of its own.

#[path = "nftables/device.rs"]
mod device;

use std::collections::BTreeSet;
use std::process::Command;

use cairn_kernel::netlink::{Protocol, Socket};
use cairn_kernel::nftables::{
    Chain, ChainType, Comparison, ConntrackKey, DataType, Element, Expression, FibResult, FibSelector,
    Generation, Hook, Limit, MetaKey, PayloadBase, Ports, Register, Rule, Set, Table, Transaction, Value,
    Verdict, chains, ct_state, elements, forward_drops, rules, sets, translates,
};
use cairn_net::Family;
use nix::sched::{CloneFlags, unshare};

/// Runs in a fresh namespace that ends with the thread.
fn in_namespace(test: impl FnOnce(&mut Socket) + Send) {
    std::thread::scope(|scope| {
        let work = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            test(&mut Socket::open(Protocol::Netfilter).unwrap());
        };
        if let Err(panic) = scope.spawn(work).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn nft(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn source_set() -> Set {
    Set::hash("sources-v4", &[DataType::Interface, DataType::Address(Family::Ipv4)])
}

fn source(interface: &str, address: &str) -> Element {
    Element::new(&[Value::Interface(interface), Value::Address(address.parse().unwrap())])
}

/// What Cairn does for IPv4: the source check and the masquerade.
fn table(transaction: &mut Transaction) {
    let r = Register;
    let address = |offset, into| Expression::Payload { base: PayloadBase::Network, offset, len: 4, into };
    let ipv4 = [
        Expression::Meta { key: MetaKey::NetworkProtocol, into: r(0) },
        Expression::Compare { register: r(0), operator: Comparison::Equal, value: vec![2] },
    ];
    let rule = |chain: &str, comment, parts: &[&[Expression]]| Rule {
        chain: chain.to_owned(),
        expressions: parts.concat(),
        comment: std::borrow::Cow::Borrowed(comment),
    };
    transaction
        .create_table()
        .create_set(&source_set())
        .create_set(&Set::prefixes("pools-v4", Family::Ipv4))
        .create_set(&Set::prefixes("pools-v6", Family::Ipv6))
        .create_set(&Set::verdicts("from-pod", &[DataType::Interface]))
        .create_chain(&Chain::at("source-check", ChainType::Filter, Hook::Prerouting, -310))
        .create_chain(&Chain::at("postrouting", ChainType::Nat, Hook::Postrouting, 100))
        .create_chain(&Chain::regular("pod"))
        .flush_chain("source-check")
        .append_rule(&rule(
            "source-check",
            "pods send from their own addresses",
            &[
                &ipv4,
                &[
                    Expression::Meta { key: MetaKey::InputInterface, into: r(0) },
                    Expression::Compare {
                        register: r(0),
                        operator: Comparison::Equal,
                        value: b"crn".to_vec(),
                    },
                    address(12, r(4)),
                    Expression::Lookup { set: "sources-v4".to_owned(), key: r(0), inverted: true },
                    Expression::Counter,
                    Expression::Verdict(Verdict::Drop),
                ],
            ],
        ))
        .append_rule(&rule(
            "postrouting",
            "pods leave all pools",
            &[
                &ipv4,
                &[
                    address(12, r(0)),
                    Expression::Lookup { set: "pools-v4".to_owned(), key: r(0), inverted: false },
                    address(16, r(0)),
                    Expression::Lookup { set: "pools-v4".to_owned(), key: r(0), inverted: true },
                    Expression::Fib {
                        result: FibResult::AddressType,
                        of: FibSelector::Destination,
                        into: r(0),
                    },
                    Expression::Compare {
                        register: r(0),
                        operator: Comparison::NotEqual,
                        value: 2u32.to_ne_bytes().to_vec(),
                    },
                    Expression::Masquerade { ports: Ports { fully_random: true, range: None } },
                ],
            ],
        ))
        .append_rule(&rule(
            "pod",
            "",
            &[&[
                Expression::Conntrack { key: ConntrackKey::State, into: r(0) },
                Expression::Bitwise {
                    register: r(0),
                    mask: (ct_state::ESTABLISHED | ct_state::RELATED).to_ne_bytes().to_vec(),
                    xor: vec![0; 4],
                },
                Expression::Compare { register: r(0), operator: Comparison::NotEqual, value: vec![0; 4] },
                Expression::Verdict(Verdict::Accept),
            ]],
        ))
        .append_rule(&rule(
            "pod",
            "",
            &[&[
                Expression::Meta { key: MetaKey::InputInterface, into: r(0) },
                Expression::VerdictMap { map: "from-pod".to_owned(), key: r(0) },
            ]],
        ));
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn nft_reads_the_table_as_it_was_meant() {
    in_namespace(|socket| {
        let mut transaction = Transaction::new(Table::CAIRN);
        table(&mut transaction);
        transaction.add_elements("sources-v4", [source("crn0123456789a", "10.244.0.1")]);
        transaction.add_elements("pools-v4", Element::prefix("10.244.0.0/16".parse().unwrap()));
        transaction.add_elements("pools-v6", Element::prefix("fd00:10:244::/48".parse().unwrap()));
        transaction.add_elements(
            "from-pod",
            [Element::with_verdict(&[Value::Interface("crn0123456789a")], Verdict::Drop)],
        );
        transaction.commit(socket).unwrap();

        let listed = nft(&["list", "table", "inet", "cairn"]);
        for expected in [
            "type ifname . ipv4_addr",
            "elements = { \"crn0123456789a\" . 10.244.0.1 }",
            "elements = { 10.244.0.0/16 }",
            "elements = { fd00:10:244::/48 }",
            "elements = { \"crn0123456789a\" : drop }",
            "type filter hook prerouting priority raw - 10; policy accept;",
            "iifname \"crn*\" iifname . ip saddr != @sources-v4 counter packets 0 bytes 0 drop \
             comment \"pods send from their own addresses\"",
            "ip saddr @pools-v4 ip daddr != @pools-v4 fib daddr type != local masquerade fully-random",
            "ct state established,related accept",
            "iifname vmap @from-pod",
        ] {
            assert!(listed.contains(expected), "{expected}\nis missing in\n{listed}");
        }
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn what_was_written_is_listed() {
    in_namespace(|socket| {
        assert!(chains(socket, Table::CAIRN).unwrap().is_empty(), "no table, no error");
        assert!(elements(socket, Table::CAIRN, "sources-v4").unwrap().is_empty());
        nft(&[
            "add table inet other; add chain inet other mine; add set inet other sources-v4 { type mark; }",
        ]);

        let mut transaction = Transaction::new(Table::CAIRN);
        table(&mut transaction);
        let many: Vec<_> = (0..5000u32)
            .map(|i| source(&format!("crn{i:011x}"), &std::net::Ipv4Addr::from(0x0af4_0000 + i).to_string()))
            .collect();
        transaction.add_elements("sources-v4", many.clone());
        transaction.add_elements("pools-v4", Element::prefix("10.244.0.0/16".parse().unwrap()));
        transaction.commit(socket).unwrap();

        assert_eq!(chains(socket, Table::CAIRN).unwrap(), ["source-check", "postrouting", "pod"]);
        assert_eq!(sets(socket, Table::CAIRN).unwrap().len(), 4);
        let listed = rules(socket, Table::CAIRN).unwrap();
        assert_eq!(listed.len(), 4);
        assert_eq!(listed[0].comment, "pods send from their own addresses");
        let mut found = elements(socket, Table::CAIRN, "sources-v4").unwrap();
        found.sort();
        let mut wanted = many;
        wanted.sort();
        assert_eq!(found, wanted);
        let mut found = elements(socket, Table::CAIRN, "pools-v4").unwrap();
        found.sort();
        let mut wanted: Vec<_> = Element::prefix("10.244.0.0/16".parse().unwrap()).collect();
        wanted.sort();
        assert_eq!(found, wanted);
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_transaction_is_in_force_whole_or_not_at_all() {
    in_namespace(|socket| {
        let mut transaction = Transaction::new(Table::CAIRN);
        table(&mut transaction);
        transaction.commit(socket).unwrap();
        let before = Generation::current(socket).unwrap();

        let mut transaction = Transaction::new(Table::CAIRN);
        transaction.add_elements("sources-v4", [source("crn1", "10.0.0.1")]);
        transaction.delete_elements("sources-v4", [source("crn2", "10.0.0.2")]);
        let error = transaction.commit(socket).unwrap_err();
        assert!(error.is_not_found(), "{error}");
        assert!(
            error.to_string().starts_with("cannot delete elements of set sources-v4 of table inet cairn: "),
            "{error}"
        );
        assert!(elements(socket, Table::CAIRN, "sources-v4").unwrap().is_empty());
        assert_eq!(Generation::current(socket).unwrap().id, before.id);

        let mut transaction = Transaction::new(Table::CAIRN);
        transaction.add_elements("sources-v4", [source("crn1", "10.0.0.1"), source("crn1", "10.0.0.1")]);
        transaction.commit(socket).unwrap();
        assert_eq!(elements(socket, Table::CAIRN, "sources-v4").unwrap(), [source("crn1", "10.0.0.1")]);
        assert_eq!(Generation::current(socket).unwrap().id, before.id + 1);

        let mut transaction = Transaction::new(Table::CAIRN);
        transaction.delete_table();
        transaction.commit(socket).unwrap();
        assert!(chains(socket, Table::CAIRN).unwrap().is_empty());
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn prefixes_that_are_neighbours_go_into_one_set() {
    in_namespace(|socket| {
        let prefixes = ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "10.244.0.0/16"];
        let wanted: BTreeSet<_> =
            prefixes.into_iter().flat_map(|prefix| Element::prefix(prefix.parse().unwrap())).collect();
        let mut transaction = Transaction::new(Table::CAIRN);
        transaction.create_table().create_set(&Set::prefixes("hosts", Family::Ipv4));
        transaction.add_elements("hosts", wanted.iter().cloned());
        transaction.commit(socket).unwrap();
        let found: BTreeSet<_> = elements(socket, Table::CAIRN, "hosts").unwrap().into_iter().collect();
        assert_eq!(found, wanted);
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
#[expect(clippy::too_many_lines, reason = "a table is read as a whole")]
fn marks_choose_the_source_of_what_leaves() {
    in_namespace(|socket| {
        let r = Register;
        let ipv4 = Family::Ipv4;
        let address = |offset, into| Expression::Payload { base: PayloadBase::Network, offset, len: 4, into };
        let map =
            |name: &str, key, into| Expression::Map { map: name.to_owned(), key: r(key), into: r(into) };
        let known = |inverted| Expression::Lookup { set: "destinations".to_owned(), key: r(4), inverted };
        let rule =
            |chain: &str, expressions| Rule { chain: chain.to_owned(), expressions, comment: "".into() };
        let load = |value: &[u8], into| Expression::Immediate { value: value.to_vec(), into: r(into) };
        let equal = |value: &[u8]| Expression::Compare {
            register: r(0),
            operator: Comparison::Equal,
            value: value.to_vec(),
        };
        let protocol = Expression::Meta { key: MetaKey::NetworkProtocol, into: r(0) };
        let transport = Expression::Meta { key: MetaKey::TransportProtocol, into: r(0) };
        let ports = |range| Ports { range, fully_random: false };
        let mut transaction = Transaction::new(Table::CAIRN);
        transaction
            .create_table()
            .create_set(&Set::values("members", &[DataType::Address(ipv4)], DataType::Mark))
            .create_set(&Set::values("addresses", &[DataType::Mark], DataType::Address(ipv4)))
            .create_set(&Set::marked_prefixes("destinations", ipv4))
            .create_chain(&Chain::at("mark", ChainType::Filter, Hook::Prerouting, -90))
            .create_chain(&Chain::at("leave", ChainType::Nat, Hook::Postrouting, 100))
            .append_rule(&rule(
                "mark",
                vec![
                    protocol.clone(),
                    equal(&[2]),
                    Expression::Conntrack { key: ConntrackKey::Direction, into: r(0) },
                    equal(&[0]),
                    address(12, r(0)),
                    map("members", 0, 4),
                    Expression::SetMeta { key: MetaKey::Mark, from: r(4) },
                ],
            ))
            .append_rule(&rule(
                "mark",
                vec![
                    protocol.clone(),
                    equal(&[2]),
                    Expression::Meta { key: MetaKey::Mark, into: r(4) },
                    address(16, r(5)),
                    known(true),
                    load(&[0; 4], 4),
                    Expression::SetMeta { key: MetaKey::Mark, from: r(4) },
                ],
            ))
            .append_rule(&rule(
                "leave",
                vec![
                    protocol.clone(),
                    equal(&[2]),
                    Expression::Meta { key: MetaKey::Mark, into: r(0) },
                    map("addresses", 0, 4),
                    Expression::SourceNat { family: ipv4, address: r(4), ports: ports(None) },
                ],
            ))
            .append_rule(&rule(
                "leave",
                vec![
                    protocol,
                    equal(&[2]),
                    transport,
                    equal(&[6]),
                    load(&[192, 0, 2, 1], 0),
                    load(&40000_u16.to_be_bytes(), 1),
                    load(&40099_u16.to_be_bytes(), 2),
                    Expression::SourceNat { family: ipv4, address: r(0), ports: ports(Some((r(1), r(2)))) },
                ],
            ));
        // The same from both ends: nft shows numbers that are values of maps, or parts of keys, in the byte order of the network.
        let mark = 0x0100_0001;
        let member = |address: &str, mark| {
            Element::with_value(&[Value::Address(address.parse().unwrap())], Value::Mark(mark))
        };
        let destinations: Vec<_> = ["10.0.0.0/8", "192.0.2.0/25"]
            .map(|prefix| Element::marked_prefix(mark, prefix.parse().unwrap()))
            .into();
        let given = Element::with_value(&[Value::Mark(mark)], Value::Address("203.0.113.1".parse().unwrap()));
        transaction.add_elements("members", [member("10.244.0.1", mark)]);
        transaction.add_elements("addresses", [given.clone()]);
        transaction.add_elements("destinations", destinations.clone());
        transaction.commit(socket).unwrap();

        let listed = nft(&["list", "table", "inet", "cairn"]);
        for expected in [
            "10.244.0.1 : 0x01000001",
            "0x01000001 : 203.0.113.1",
            "0x01000001 . 10.0.0.0/8",
            "0x01000001 . 192.0.2.0/25",
            "meta mark set ip saddr map @members",
            "meta mark . ip daddr != @destinations meta mark set 0x00000000",
            "snat ip to meta mark map @addresses",
            "tcp",
            "snat ip to 192.0.2.1:40000-40099",
        ] {
            assert!(listed.contains(expected), "{expected}\nis missing in\n{listed}");
        }
        let mut found = elements(socket, Table::CAIRN, "destinations").unwrap();
        found.sort();
        assert_eq!(found, destinations);
        assert_eq!(elements(socket, Table::CAIRN, "addresses").unwrap(), [given]);

        // Another value takes the place of the first, a prefix goes and comes again.
        let mut transaction = Transaction::new(Table::CAIRN);
        transaction.delete_elements("members", [member("10.244.0.1", mark)]);
        transaction.add_elements("members", [member("10.244.0.1", 2 * mark)]);
        transaction.delete_elements("destinations", destinations[..1].to_vec());
        transaction
            .add_elements("destinations", [Element::marked_prefix(mark, "10.0.0.0/9".parse().unwrap())]);
        transaction.commit(socket).unwrap();
        assert_eq!(elements(socket, Table::CAIRN, "members").unwrap(), [member("10.244.0.1", 2 * mark)]);
        let mut found = elements(socket, Table::CAIRN, "destinations").unwrap();
        found.sort();
        assert_eq!(found[0], Element::marked_prefix(mark, "10.0.0.0/9".parse().unwrap()));
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn ports_lead_elsewhere_and_each_element_has_a_limit_of_its_own() {
    in_namespace(|socket| {
        let r = Register;
        let rule =
            |chain: &str, expressions| Rule { chain: chain.to_owned(), expressions, comment: "".into() };
        let families = [(Family::Ipv4, "ports-v4", 2, 1), (Family::Ipv6, "ports-v6", 10, 4)];
        let mut transaction = Transaction::new(Table::CAIRN);
        transaction
            .create_table()
            .create_set(&Set::limits("limits", &[DataType::Interface]))
            .create_chain(&Chain::at("translate", ChainType::Nat, Hook::Prerouting, -95))
            .create_chain(&Chain::at("limit", ChainType::Filter, Hook::Postrouting, 300));
        for (family, name, number, port) in families {
            let key = [DataType::Protocol, DataType::Port];
            transaction.create_set(&Set::values(name, &key, DataType::Socket(family)));
            transaction.append_rule(&rule(
                "translate",
                vec![
                    Expression::Meta { key: MetaKey::NetworkProtocol, into: r(0) },
                    Expression::Compare { register: r(0), operator: Comparison::Equal, value: vec![number] },
                    Expression::Meta { key: MetaKey::TransportProtocol, into: r(0) },
                    Expression::Payload { base: PayloadBase::Transport, offset: 2, len: 2, into: r(1) },
                    Expression::Map { map: name.to_owned(), key: r(0), into: r(0) },
                    Expression::DestinationNat { family, address: r(0), port: r(port) },
                ],
            ));
        }
        transaction.append_rule(&rule(
            "limit",
            vec![
                Expression::Meta { key: MetaKey::OutputInterface, into: r(0) },
                Expression::Lookup { set: "limits".to_owned(), key: r(0), inverted: false },
                Expression::Verdict(Verdict::Drop),
            ],
        ));
        let leads = |to: &str| {
            Element::with_value(&[Value::Protocol(6), Value::Port(80)], Value::Socket(to.parse().unwrap()))
        };
        let limit = |bytes_per_second| {
            let limit = Limit { bytes_per_second, burst: 131_072 };
            Element::with_limit(&[Value::Interface("crn0123456789a")], limit)
        };
        transaction.add_elements("ports-v4", [leads("10.0.0.1:8080")]);
        transaction.add_elements("ports-v6", [leads("[fd00::1]:8080")]);
        transaction.add_elements("limits", [limit(2_500_000)]);
        transaction.commit(socket).unwrap();

        let listed = nft(&["list", "table", "inet", "cairn"]);
        for expected in [
            "type inet_proto . inet_service : ipv4_addr . inet_service",
            "elements = { tcp . 80 : 10.0.0.1 . 8080 }",
            "elements = { tcp . 80 : fd00::1 . 8080 }",
            "map @ports-v4",
            "map @ports-v6",
            "\"crn0123456789a\" limit rate over 2500000 bytes/second",
            "oifname @limits drop",
        ] {
            assert!(listed.contains(expected), "{expected}\nis missing in\n{listed}");
        }
        assert_eq!(elements(socket, Table::CAIRN, "ports-v6").unwrap(), [leads("[fd00::1]:8080")]);
        assert_eq!(elements(socket, Table::CAIRN, "limits").unwrap(), [limit(2_500_000)]);

        // Another value takes the place of the first, and the set is what it was.
        let mut transaction = Transaction::new(Table::CAIRN);
        transaction.create_set(&Set::limits("limits", &[DataType::Interface]));
        transaction.delete_elements("limits", [limit(2_500_000)]);
        transaction.add_elements("limits", [limit(12_500_000_000)]);
        transaction.delete_elements("ports-v4", [leads("10.0.0.1:8080")]);
        transaction.add_elements("ports-v4", [leads("10.0.0.2:8080")]);
        transaction.commit(socket).unwrap();
        assert_eq!(elements(socket, Table::CAIRN, "limits").unwrap(), [limit(12_500_000_000)]);
        assert_eq!(elements(socket, Table::CAIRN, "ports-v4").unwrap(), [leads("10.0.0.2:8080")]);
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_table_of_others_that_drops_forwarded_packets_is_found() {
    in_namespace(|socket| {
        let mut found = || forward_drops(socket, Table::CAIRN, "crn").unwrap();
        assert_eq!(found(), Vec::<String>::new());
        let chain = |table: &str, hook: &str, policy: &str| {
            nft(&[&format!(
                "add table {table}; add chain {table} c {{ type filter hook {hook} priority 0; policy {policy}; }}"
            )])
        };
        chain("inet cairn", "forward", "drop");
        chain("inet open", "forward", "accept");
        chain("ip6 input", "input", "drop");
        assert_eq!(found(), Vec::<String>::new(), "ours, one that accepts, and one elsewhere");
        chain("ip filter", "forward", "drop");
        chain("inet closed", "forward", "drop");
        assert_eq!(found(), ["inet closed: c", "ip filter: c"]);

        nft(&["add chain ip filter user; add rule ip filter user iifname \"crn*\" counter accept"]);
        nft(&["add rule ip filter user oifname \"crn0\" accept"]);
        nft(&["add rule ip filter user oifname \"crn*\" drop"]);
        nft(&["add rule ip filter user oifname != \"crn*\" accept"]);
        assert_eq!(found(), ["inet closed: c", "ip filter: c"], "one direction only");
        nft(&["add rule ip filter user oifname \"crn*\" accept"]);
        assert_eq!(found(), ["inet closed: c"]);
    });
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn whether_others_translate_is_found() {
    in_namespace(|socket| {
        let mut found = || translates(socket, Table::CAIRN).unwrap();
        let add = |table: &str, kind: &str| {
            nft(&[&format!(
                "add table {table}; add chain {table} c {{ type {kind} hook output priority -100; }}"
            )])
        };
        add("inet cairn", "nat");
        add("ip filter", "filter");
        add("ip6 route", "route");
        nft(&["add chain ip filter nat"]);
        assert!(!found(), "ours, and none that translates");
        add("ip6 others", "nat");
        assert!(found());
        nft(&["delete table ip6 others"]);
        assert!(!found());
    });
    for (iptables, what) in [("iptables", "nat"), ("ip6tables", "nat"), ("iptables", "mangle")] {
        in_namespace(|socket| {
            let program = format!("{iptables}-legacy");
            let listed = Command::new(&program).args(["-t", what, "-S"]).output().unwrap();
            // Distributions begin to have kernels without it.
            if listed.status.success() {
                assert_eq!(translates(socket, Table::CAIRN).unwrap(), what == "nat", "{program} {what}");
            } else {
                assert!(!translates(socket, Table::CAIRN).unwrap());
            }
        });
    }
}
