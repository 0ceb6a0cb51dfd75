//! Chains at the ingress of a device.

use cairn_kernel::nftables::{
    Chain, Comparison, Expression, MetaKey, Register, Rule, Table, Transaction, Verdict, chains, rules_of,
};

use super::{in_namespace, nft};

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_chain_sees_what_comes_in_by_one_device() {
    in_namespace(|socket| {
        let create = |device: &str| {
            let mut transaction = Transaction::new(Table::CAIRN_INTERFACES);
            let chain = Chain::of_device(device, device, -310);
            transaction.create_table().create_chain(&chain).append_rule(&Rule {
                chain: device.to_owned(),
                expressions: vec![
                    Expression::Meta { key: MetaKey::LinkProtocol, into: Register(0) },
                    Expression::Compare {
                        register: Register(0),
                        operator: Comparison::Equal,
                        value: vec![8, 6],
                    },
                    Expression::Verdict(Verdict::Drop),
                ],
                comment: format!("of {device}").into(),
            });
            transaction
        };
        create("lo").commit(socket).unwrap();
        create("lo").commit(socket).unwrap();
        let listed = nft(&["list", "table", "netdev", "cairn"]);
        for expected in [
            "type filter hook ingress device \"lo\" priority -310",
            "meta protocol arp drop comment \"of lo\"",
        ] {
            assert!(listed.contains(expected), "{expected}\nis missing in\n{listed}");
        }
        assert_eq!(rules_of(socket, Table::CAIRN_INTERFACES, "lo").unwrap().len(), 2);
        assert!(rules_of(socket, Table::CAIRN_INTERFACES, "none").unwrap().is_empty());
        assert!(chains(socket, Table::CAIRN).unwrap().is_empty(), "another table");
        let mut destroy = |name: &str| {
            let mut transaction = Transaction::new(Table::CAIRN_INTERFACES);
            transaction.destroy_chain(name);
            transaction.commit(socket)
        };
        destroy("none").unwrap();
        destroy("lo").unwrap();
        assert!(chains(socket, Table::CAIRN_INTERFACES).unwrap().is_empty(), "with its rules");
    });
}
