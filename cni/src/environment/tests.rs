use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Environment, Refusal> {
    Environment::read(|name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
    })
}

const ADD: [(&str, &str); 4] = [
    ("CNI_COMMAND", "ADD"),
    ("CNI_CONTAINERID", "c1"),
    ("CNI_NETNS", "/run/netns/p"),
    ("CNI_IFNAME", "eth0"),
];

fn add_with(name: &str, value: &str) -> Result<Environment, Refusal> {
    read(&ADD.map(|(known, old)| (known, if known == name { value } else { old })))
}

#[test]
fn add_needs_container_namespace_and_interface() {
    let environment = read(&ADD).unwrap();
    assert_eq!(environment.attachment.unwrap().to_string(), "c1/eth0");
    let error = read(&ADD[..1]).unwrap_err();
    assert_eq!(error.code, Code::INVALID_ENVIRONMENT);
    assert!(error.msg.ends_with("CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"), "{error}");
}

#[test]
fn del_needs_no_namespace_and_status_needs_nothing() {
    let del = read(&[("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0")]).unwrap();
    assert_eq!(del.netns, None);
    for verb in ["STATUS", "GC", "VERSION"] {
        assert_eq!(read(&[("CNI_COMMAND", verb)]).unwrap().verb.as_str(), verb);
    }
}

#[test]
fn a_wrong_value_is_named() {
    for (name, value) in [
        ("CNI_COMMAND", "add"),
        ("CNI_COMMAND", "UPDATE"),
        ("CNI_CONTAINERID", "../../etc"),
        ("CNI_IFNAME", "way-too-long-for-linux"),
        ("CNI_IFNAME", "a/b"),
        ("CNI_NETNS", "run/netns/p"),
        ("CNI_NETNS", &"/x".repeat(3000)),
    ] {
        let error = add_with(name, value).unwrap_err();
        assert_eq!(error.code, Code::INVALID_ENVIRONMENT);
        assert!(error.msg.contains(name), "{error}");
    }
    assert!(read(&[]).unwrap_err().msg.contains("CNI_COMMAND"));
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let error = Environment::read(|_| Some(OsString::from_vec(vec![0xff]))).unwrap_err();
    assert!(error.details.contains("UTF-8"), "{error}");
}
