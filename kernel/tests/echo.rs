//! How much a path carries, on a path that carries little without a word.

mod namespace;

use std::os::fd::AsFd;
use std::time::Duration;

use cairn_kernel::Requests;
use cairn_kernel::echo::{Answer, Echo};
use cairn_kernel::object::{Address, LinkChange, Veth, VethEnd};
use namespace::{Namespace, link, up};

const PATIENCE: Duration = Duration::from_secs(30);
/// For what must get lost: nobody answers that, however long one waits.
const IMPATIENCE: Duration = Duration::from_millis(300);

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn what_is_too_large_for_the_far_end_is_lost_in_silence() {
    let (mut near, mut far) = (Namespace::new(), Namespace::new());
    let end = |name| VethEnd { name: link(name), mac: None };
    let veth =
        Veth { host: end("n0"), peer: end("f0"), peer_netns: Some(far.netns.as_fd()), mtu: 1500, up: true };
    near.rtnl.create_veth(&veth).unwrap();
    let (n0, f0) = (near.index("n0"), far.index("f0"));
    far.rtnl.change_link(f0, &up()).unwrap();
    for (rtnl, index, last) in [(&mut near.rtnl, n0, 1), (&mut far.rtnl, f0, 2)] {
        let v4 = Address { prefix_len: 24, ..Address::host(index, [192, 0, 2, last].into()) };
        let v6 = format!("2001:db8::{last}").parse().unwrap();
        let v6 = Address { prefix_len: 64, ..Address::host(index, v6) };
        rtnl.execute_all(Requests::new().create(&v4).create(&v6)).unwrap();
    }
    far.rtnl.change_link(f0, &LinkChange { mtu: Some(1400), ..LinkChange::default() }).unwrap();
    for far_end in ["192.0.2.2", "2001:db8::2"] {
        let probe = |size, patience| {
            near.netns
                .run(|| Echo::open(far_end.parse().unwrap(), 7, 0).unwrap().probe(size, patience))
                .unwrap()
                .unwrap()
        };
        assert_eq!(probe(1280, PATIENCE), Answer::Answered, "{far_end}");
        assert_eq!(probe(1400, PATIENCE), Answer::Answered, "{far_end}");
        assert_eq!(probe(1450, IMPATIENCE), Answer::Silent, "{far_end}");
        assert_eq!(probe(1501, PATIENCE), Answer::TooLarge, "{far_end}");
    }
    let nowhere = near.netns.run(|| Echo::open("198.51.100.1".parse().unwrap(), 7, 0)).unwrap();
    assert!(nowhere.is_err());
}
