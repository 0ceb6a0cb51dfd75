//! The flowtable, and who is in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_kernel::Rtnl;
use cairn_kernel::object::{Change, Link, LinkName};
use cairn_net::{Direction, Rate};

use super::super::fast_path::FastPath;
use super::{in_namespace, run};

const SOURCES: [[u8; 4]; 2] = [[10, 0, 0, 1], [10, 0, 0, 2]];

/// The table as `nft` shows it; empty without one.
fn table() -> String {
    let output = std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn link(name: &str) -> Link {
    let name: LinkName = name.parse().unwrap();
    Rtnl::open().unwrap().link(&name).unwrap().unwrap()
}

/// One that is wanted, on the interfaces that there are, with a pod's.
fn made() -> (FastPath, Arc<str>) {
    run("ip link add crn1 type veth peer name pod1");
    let mut fast_path = FastPath::open().unwrap();
    for link in Rtnl::open().unwrap().list::<Link>(None).unwrap() {
        fast_path.link_changed(&Change::Present(link));
    }
    let pod: Arc<str> = "crn1".into();
    fast_path.add_source(&pod, SOURCES[0].into());
    fast_path.want(true);
    fast_path.write(Instant::now());
    (fast_path, pod)
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_kernel_without_flowtables_is_told_and_tried_again() {
    in_namespace(|_| {
        let (mut fast_path, _) = made();
        // Whichever kernel this is.
        if table().contains("flowtable established") {
            assert_eq!(fast_path.fault(), None);
            return;
        }
        assert!(fast_path.fault().unwrap().contains("packets take the ordinary way"));
        assert!(fast_path.poll_timeout().unwrap() > Instant::now() + Duration::from_secs(20));
        fast_path.want(false);
        fast_path.write(Instant::now());
        assert_eq!((fast_path.fault(), fast_path.poll_timeout()), (None, None), "nobody minds any more");
    });
}

mod needs_flowtable {
    use super::*;

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn an_interface_that_loses_a_source_is_out_of_it_for_as_long_as_it_lives() {
        in_namespace(|_| {
            let (mut fast_path, pod) = made();
            assert!(table().contains("crn1") && table().contains("up0"), "{}", table());
            assert!(!table().contains("\"lo\""), "{}", table());
            fast_path.add_source(&pod, SOURCES[1].into());
            fast_path.remove_source(&pod, SOURCES[0].into());
            fast_path.leave();
            fast_path.write(Instant::now());
            assert!(!table().contains("crn1"), "a connection of the lost source may be there: {}", table());
            fast_path.link_changed(&Change::Present(link("crn1")));
            fast_path.write(Instant::now());
            assert!(!table().contains("crn1"), "{}", table());

            // Another pod, another interface, whatever its name.
            fast_path.remove_source(&pod, SOURCES[1].into());
            fast_path.leave();
            let old = link("crn1");
            run("ip link delete crn1");
            fast_path.link_changed(&Change::Gone(old));
            run("ip link add crn1 type veth peer name pod1");
            fast_path.add_source(&pod, SOURCES[0].into());
            fast_path.write(Instant::now());
            assert!(table().contains("crn1"), "{}", table());
        });
    }

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn a_restart_adopts_it_and_takes_out_whoever_is_no_pods() {
        in_namespace(|_| {
            drop(made());
            let mut after = FastPath::open().unwrap();
            for link in Rtnl::open().unwrap().list::<Link>(None).unwrap() {
                after.link_changed(&Change::Present(link));
            }
            after.write(Instant::now());
            assert!(table().contains("crn1"), "nobody has said yet what is wanted: {}", table());
            after.want(true);
            after.sweep();
            after.leave();
            after.write(Instant::now());
            assert!(!table().contains("crn1") && table().contains("up0"), "{}", table());
            after.want(false);
            after.write(Instant::now());
            assert!(!table().contains("cairn-fastpath"), "{}", table());
        });
    }

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn connections_of_a_pod_with_a_limit_are_not_handed_over() {
        in_namespace(|_| {
            let (mut fast_path, pod) = made();
            let limit = (Direction::Egress, Rate::new(8_000_000, None).unwrap());
            assert!(table().contains("@limited accept") && !table().contains("elements = { \"crn1\" }"));
            fast_path.limit(&pod, limit, true);
            fast_path.exempt();
            assert!(table().contains("elements = { \"crn1\" }"), "{}", table());
            drop(fast_path);

            let mut after = FastPath::open().unwrap();
            after.want(true);
            after.exempt();
            assert!(table().contains("elements = { \"crn1\" }"), "until all is known: {}", table());
            after.sweep();
            after.exempt();
            assert!(!table().contains("elements = { \"crn1\" }"), "{}", table());
        });
    }
}
