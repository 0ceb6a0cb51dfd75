//! WireGuard interfaces: peers in batches, changes that keep sessions, and a foreign host that `wg` configures.

mod namespace;

use std::time::{Duration, Instant};

use cairn_kernel::wireguard::{
    Device, DeviceChange, KIND, Peer, PeerChange, PrivateKey, PublicKey, Wireguard,
};
use cairn_net::Prefix;
use namespace::{Namespace, link, up};

/// How long a handshake may take on a slow machine.
const SETTLES: Duration = Duration::from_secs(60);

/// A namespace with a WireGuard interface `wg0` that has a key.
struct End {
    space: Namespace,
    wireguard: Wireguard,
    key: PublicKey,
}

impl End {
    /// Makes it, with these addresses on the interface.
    fn new(port: u16, addresses: &[&str]) -> Self {
        let mut space = Namespace::new();
        let mut wireguard = Wireguard::open_in(&space.netns)
            .expect("needs wireguard, which this kernel may lack: cargo xtask test --tier vm wireguard");
        space.run(&format!("ip link add wg0 type {KIND}"));
        let change = DeviceChange {
            private_key: Some(PrivateKey::generate().unwrap()),
            listen_port: Some(port),
            ..DeviceChange::default()
        };
        wireguard.change(&link("wg0"), &change).unwrap();
        let key = wireguard.device(&link("wg0")).unwrap().public_key.expect("it was given one");
        for address in addresses {
            space.run(&format!("ip address add {address} dev wg0"));
        }
        space.rtnl.change_link(&link("wg0"), &up()).unwrap();
        Self { space, wireguard, key }
    }

    fn change(&mut self, peers: Vec<PeerChange>) {
        self.wireguard.change(&link("wg0"), &DeviceChange { peers, ..DeviceChange::default() }).unwrap();
    }

    fn device(&mut self) -> Device {
        self.wireguard.device(&link("wg0")).unwrap()
    }

    /// Waits until an address answers.
    fn reaches(&self, address: &str) {
        let started = Instant::now();
        while !self.space.succeeds(&format!("ping -c 1 -W 1 {address}")) {
            assert!(started.elapsed() < SETTLES, "{address} does not answer");
        }
    }
}

/// Connects two namespaces by a cable with addresses of both families.
fn cable(left: &Namespace, right: &Namespace) {
    left.run(&format!("ip link add cable0 type veth peer name cable0 netns {}", right.name));
    for (space, last) in [(left, 1), (right, 2)] {
        space.run(&format!("ip address add 192.0.2.{last}/24 dev cable0"));
        space.run(&format!("ip address add 2001:db8::{last}/64 dev cable0 nodad"));
        space.run("ip link set cable0 up");
    }
}

fn peer(key: PublicKey, endpoint: Option<&str>, allowed: &[&str]) -> Peer {
    let mut allowed_ips: Vec<Prefix> = allowed.iter().map(|text| text.parse().unwrap()).collect();
    allowed_ips.sort_unstable();
    Peer { public_key: key, endpoint: endpoint.map(|text| text.parse().unwrap()), keepalive: 0, allowed_ips }
}

/// A peer that nobody is.
fn nobody(number: u32) -> Peer {
    let mut key = [1; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    let [_, high, middle, low] = number.to_be_bytes();
    peer(PublicKey(key), Some("192.0.2.9:1"), &[&format!("10.{high}.{middle}.{low}/32")])
}

mod needs_wireguard {
    use super::{
        Device, DeviceChange, End, Instant, Namespace, PeerChange, PrivateKey, PublicKey, Wireguard, cable,
        link, nobody, peer,
    };

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn sessions_go_on_while_other_peers_come_and_go() {
        let mut left = End::new(5001, &["10.200.0.1/24", "fd20::1/64"]);
        let mut right = End::new(5002, &["10.200.0.2/24", "fd20::2/64"]);
        cable(&left.space, &right.space);
        let to_right = peer(right.key, Some("192.0.2.2:5002"), &["10.200.0.2/32", "fd20::2/128"]);
        let to_left = peer(left.key, Some("[2001:db8::1]:5001"), &["10.200.0.1/32", "fd20::1/128"]);
        left.change(vec![PeerChange::Set(to_right.clone())]);
        right.change(vec![PeerChange::Set(to_left)]);
        left.reaches("10.200.0.2");
        left.reaches("fd20::2");
        let before = left.device();
        assert_eq!((before.listen_port, before.peers.len()), (5001, 1));
        let state = &before.peers[0];
        assert_eq!(state.peer.allowed_ips, to_right.allowed_ips);
        assert!(state.last_handshake.is_some() && state.received > 0 && state.sent > 0, "{state:?}");
        // Others come and go, and it is named again as it is: the session is the same.
        left.change((0..300).map(|number| PeerChange::Set(nobody(number))).collect());
        left.change(vec![PeerChange::Set(to_right)]);
        left.change((0..300).map(|number| PeerChange::Remove(nobody(number).public_key)).collect());
        left.reaches("10.200.0.2");
        let after = left.device();
        assert_eq!(after.peers.len(), 1);
        assert_eq!(after.peers[0].last_handshake, state.last_handshake, "there was another handshake");
        assert!(after.peers[0].sent > state.sent);
        // Without an address, then without the peer, nothing gets through.
        left.change(vec![PeerChange::Set(peer(right.key, None, &["fd20::2/128"]))]);
        assert!(!left.space.succeeds("ping -c 1 -W 1 10.200.0.2"));
        left.reaches("fd20::2");
        left.change(vec![PeerChange::Remove(right.key)]);
        assert!(!left.space.succeeds("ping -c 1 -W 1 fd20::2") && left.device().peers.is_empty());
    }

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn thousands_of_peers_are_programmed_and_read_back() {
        const PEERS: u32 = 5000;
        let mut end = End::new(5003, &[]);
        let mut all: Vec<_> = (0..PEERS).map(nobody).collect();
        // One with more addresses than a message holds.
        all[7].allowed_ips = (0..1500)
            .map(|ip| format!("172.16.{}.{}/32", ip / 256, ip % 256))
            .map(|text| text.parse().unwrap())
            .collect();
        all.sort_unstable_by_key(|peer| peer.public_key);
        let peers: Vec<_> = all.iter().cloned().map(PeerChange::Set).collect();
        let full = DeviceChange { replace_peers: true, peers, ..DeviceChange::default() };
        for round in 0..2 {
            let started = Instant::now();
            end.wireguard.change(&link("wg0"), &full).unwrap();
            let (written, started) = (started.elapsed(), Instant::now());
            let device = end.device();
            println!("round {round}: {PEERS} peers written in {written:?}, read in {:?}", started.elapsed());
            let read: Vec<_> = device.peers.into_iter().map(|state| state.peer).collect();
            assert_eq!(read.len(), all.len());
            assert!(read == all, "a peer came back as another one");
        }
        let started = Instant::now();
        end.change(vec![PeerChange::Remove(all[9].public_key)]);
        println!("one of {PEERS} peers removed in {:?}", started.elapsed());
        assert_eq!(end.device().peers.len(), all.len() - 1);
    }

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn a_foreign_host_with_wg_is_a_peer_and_agrees() {
        let mut ours = End::new(5004, &["10.200.1.1/24"]);
        let foreign = Namespace::new();
        cable(&ours.space, &foreign);
        let private = PrivateKey::generate().unwrap();
        let file = std::env::temp_dir().join(format!("{}.key", foreign.name));
        std::fs::write(&file, private.expose()).unwrap();
        foreign.run("ip link add wg0 type wireguard");
        foreign.run(&format!(
            "wg set wg0 listen-port 5005 private-key {} peer {} endpoint 192.0.2.1:5004 allowed-ips 10.200.1.1/32",
            file.display(),
            ours.key
        ));
        std::fs::remove_file(&file).unwrap();
        foreign.run("ip address add 10.200.1.2/24 dev wg0");
        foreign.run("ip link set wg0 up");
        let theirs: PublicKey = foreign.run("wg show wg0 public-key").trim().parse().unwrap();
        // Where it is, we learn when it comes.
        ours.change(vec![PeerChange::Set(peer(theirs, None, &["10.200.1.2/32"]))]);
        assert!(foreign.succeeds("ping -c 5 -i 1 -W 5 10.200.1.1"));
        let device: Device = ours.device();
        assert_eq!(device.peers[0].peer.endpoint, Some("192.0.2.2:5005".parse().unwrap()));
        let said = ours.space.run("wg show wg0 dump");
        assert!(said.contains(&theirs.to_string()) && said.contains("10.200.1.2/32"), "{said}");
        // A key is exchanged for another one without loss of the interface or its peers.
        let before = ours.key;
        let rotated =
            DeviceChange { private_key: Some(PrivateKey::generate().unwrap()), ..DeviceChange::default() };
        ours.wireguard.change(&link("wg0"), &rotated).unwrap();
        let device = ours.device();
        assert!(device.public_key != Some(before) && device.peers.len() == 1);
    }

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn what_cannot_be_is_refused_by_name() {
        let space = Namespace::new();
        let mut wireguard = Wireguard::open_in(&space.netns).unwrap();
        let error = wireguard.device(&link("none")).unwrap_err();
        assert!(error.is_not_found() && error.to_string().contains("none"), "{error}");
        let error = wireguard.change(&link("lo"), &DeviceChange::default()).unwrap_err();
        assert!(error.to_string().contains("WireGuard interface lo"), "{error}");
        let mut end = End::new(5006, &[]);
        end.space.run("ip link add wg1 type wireguard");
        end.space.run("ip link set wg1 up");
        let taken = DeviceChange { listen_port: Some(5006), ..DeviceChange::default() };
        let error = end.wireguard.change(&link("wg1"), &taken).unwrap_err();
        assert_eq!(error.errno(), Some(nix::errno::Errno::EADDRINUSE), "{error}");
    }
}
