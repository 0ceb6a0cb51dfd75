//! The plugin against a felix-lite of the test's own: what goes over the socket, and what happens when nobody is there.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use cairn_cni::{Outcome, run};
use felix_api::{
    Attached, Code, Command, HEADER, HOST_MAC, Refusal, Reply, Request, Spool, body_len, encode,
};

/// A directory of the test's own, with a socket's and a spool's place in it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cairn-cni-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn spool(&self) -> Spool {
        Spool::new(self.0.join("spool"))
    }

    /// Serves this many calls with the reply.
    fn serve(&self, reply: Reply, calls: usize) -> std::thread::JoinHandle<Vec<Request>> {
        let listener = UnixListener::bind(self.0.join("sock")).unwrap();
        std::thread::spawn(move || (0..calls).map(|_| answer(&listener, &reply)).collect())
    }

    fn call(&self, verb: &str, keys: &str) -> Outcome {
        let config = format!(
            r#"{{"cniVersion":"1.1.0","name":"pods","type":"cairn-cni","socket":"{0}/sock","spool":"{0}/spool"{keys}}}"#,
            self.0.display()
        );
        let variable = |name: &str| match name {
            "CNI_COMMAND" => Some(OsString::from(verb)),
            "CNI_CONTAINERID" => Some(OsString::from("c1")),
            "CNI_IFNAME" => Some(OsString::from("eth0")),
            "CNI_NETNS" => Some(OsString::from("/proc/self/ns/net")),
            "CNI_ARGS" => Some(OsString::from("K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0")),
            _ => None,
        };
        run(variable, || Ok(config.into_bytes()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn answer(listener: &UnixListener, reply: &Reply) -> Request {
    let (mut stream, _) = listener.accept().unwrap();
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).unwrap();
    let mut body = vec![0; body_len(header).unwrap()];
    stream.read_exact(&mut body).unwrap();
    stream.write_all(&encode(reply).unwrap()).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn code(outcome: &Outcome) -> u64 {
    outcome.stdout.as_ref().map_or(0, |json| json["code"].as_u64().unwrap_or(0))
}

#[test]
fn add_asks_felix_lite_and_prints_its_answer() {
    let place = Place::new("add");
    let attached = Attached {
        host_ifname: "crn0123456789a".to_owned(),
        host_mac: HOST_MAC,
        pod_mac: cairn_net::Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        addresses: vec!["10.0.0.7".parse().unwrap()],
        networks: Vec::new(),
    };
    let server = place.serve(Reply::Attached(attached), 1);
    let outcome = place.call("ADD", r#","mtu":1400,"ipam":{"ipv4_pools":["a"]}"#);
    assert_eq!(outcome.exit_code, 0, "{outcome:?}");
    assert_eq!(outcome.stdout.unwrap()["ips"][0]["address"], "10.0.0.7/32");
    let request = server.join().unwrap().remove(0);
    let Command::Add(add) = request.command else { panic!("not ADD") };
    assert_eq!((request.version, add.mtu, add.addresses.pools.len()), (3, Some(1400), 0));
    assert_eq!(add.addresses.configured[&cairn_net::Family::Ipv4], ["a"]);
    assert_eq!(add.pod.unwrap().to_string(), "default/web-0");
}

#[test]
fn ports_of_the_node_and_rates_are_asked_for_by_add_and_never_in_the_way_of_del() {
    let place = Place::new("capabilities");
    let server = place.serve(Reply::Refused(Refusal::new(Code::TRY_AGAIN, "later")), 1);
    let keys = r#","runtimeConfig":{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}],
        "bandwidth":{"ingressRate":8000000,"ingressBurst":4294967295}}"#;
    place.call("ADD", keys);
    let request = server.join().unwrap().remove(0);
    let Command::Add(add) = &request.command else { panic!("not ADD") };
    assert_eq!((request.version, add.host_ports[0].to_string().as_str()), (2, "tcp port 8080"));
    assert_eq!(add.bandwidth.ingress.unwrap().bytes_per_second(), 1_000_000);
    assert_eq!(add.bandwidth.egress, None);

    let bad = r#","runtimeConfig":{"portMappings":[{"hostPort":65536,"containerPort":80}]}"#;
    let outcome = place.call("ADD", bad);
    assert_eq!((outcome.exit_code, code(&outcome)), (1, 7));
    assert!(outcome.stdout.unwrap()["msg"].as_str().unwrap().contains("portMappings[0].hostPort"));
    assert_eq!(place.call("DEL", bad).exit_code, 0, "a pod that was refused can go");
}

#[test]
fn a_refusal_is_printed_and_fails() {
    let place = Place::new("refusal");
    let _server = place.serve(Reply::Refused(Refusal::new(Code::IPAM, "pool a is full")), 1);
    let outcome = place.call("ADD", "");
    assert_eq!((outcome.exit_code, code(&outcome)), (1, 100));
}

#[test]
fn without_felix_lite_add_is_to_be_tried_again_and_status_is_not_available() {
    let place = Place::new("absent");
    let outcome = place.call("ADD", "");
    assert_eq!((outcome.exit_code, code(&outcome)), (1, 11));
    assert!(outcome.stdout.unwrap()["msg"].as_str().unwrap().contains("felix-lite"));
    assert_eq!(code(&place.call("STATUS", "")), 50);
    assert_eq!(code(&place.call("GC", "")), 11);
}

#[test]
fn without_felix_lite_del_is_kept_and_succeeds() {
    let place = Place::new("del");
    for _ in 0..2 {
        assert_eq!(place.call("DEL", ""), Outcome { stdout: None, exit_code: 0 });
    }
    let (kept, errors) = place.spool().list();
    assert_eq!((kept.len(), errors.len()), (1, 0));
    assert_eq!(kept[0].attachment.to_string(), "c1/eth0");
}

#[test]
fn a_del_that_cannot_be_kept_is_to_be_tried_again() {
    let place = Place::new("unkept");
    std::fs::write(place.0.join("spool"), "a file where the directory should be").unwrap();
    let outcome = place.call("DEL", "");
    assert_eq!((outcome.exit_code, code(&outcome)), (1, 11));
}

#[test]
fn a_felix_lite_that_dies_at_a_del_is_asked_once_more() {
    let place = Place::new("dies");
    let listener = UnixListener::bind(Path::new(&place.0).join("sock")).unwrap();
    let server = std::thread::spawn(move || {
        drop(listener.accept().unwrap());
        answer(&listener, &Reply::Done)
    });
    assert_eq!(place.call("DEL", "").exit_code, 0);
    assert!(matches!(server.join().unwrap().command, Command::Del(_)));
    assert!(place.spool().list().0.is_empty());
}

#[test]
fn verbs_are_refused_in_versions_that_lack_them() {
    let call = |verb: &'static str, version: &'static str| {
        run(
            move |name| match name {
                "CNI_COMMAND" => Some(OsString::from(verb)),
                "CNI_CONTAINERID" | "CNI_IFNAME" => Some(OsString::from("x")),
                "CNI_NETNS" => Some(OsString::from("/x")),
                _ => None,
            },
            move || Ok(format!(r#"{{"cniVersion":"{version}","name":"pods"}}"#).into_bytes()),
        )
    };
    for (verb, version) in [("CHECK", "0.3.1"), ("STATUS", "1.0.0"), ("GC", "1.0.0"), ("ADD", "0.2.0")] {
        let outcome = call(verb, version);
        assert_eq!((outcome.exit_code, code(&outcome)), (1, 1), "{verb} {version}");
    }
    assert_eq!(code(&call("CHECK", "1.0.0")), 7, "without prevResult");
    let version = call("VERSION", "0.1.0");
    assert_eq!((version.exit_code, version.stdout.unwrap()["cniVersion"].as_str()), (0, Some("1.1.0")));
}
