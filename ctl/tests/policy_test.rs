//! `cairnctl bgp policy test` without a daemon.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

const DOCUMENT: &str = "\
routerId: 10.0.0.1
localAs: 65001
confederation: {identifier: 64999, members: [65003]}
prefixSets: {pods: [{prefix: 10.244.0.0/16, le: 26}]}
filters:
  from-tor:
    rules:
    - {name: leaving, match: {localPreference: 0}, set: {tag: 9}, then: accept}
    - {name: inside, match: {peerType: confederation, source: confederation}, set: {tag: 3}, then: accept}
    - {name: pods, match: {prefixSet: pods}, set: {localPreference: 200, prepend: {count: 2}}, then: accept}
neighbors:
- {address: 192.0.2.2, remoteAs: 65002, import: from-tor, export: accept-all, blackhole: {}}
- {address: 192.0.2.3, remoteAs: 65001, export: accept-all, gracefulShutdown: true}
- {address: 192.0.2.4, remoteAs: 65003, import: from-tor, export: accept-all, gracefulShutdown: true}
";

/// The program's answer as JSON, or its error as text.
fn test(route: &str) -> Result<Result<Value, String>> {
    test_with(&["--filter", "from-tor"], route)
}

fn test_with(flags: &[&str], route: &str) -> Result<Result<Value, String>> {
    let directory = tempfile::tempdir()?;
    let (document, file) = (directory.path().join("bgpd.yaml"), directory.path().join("route.yaml"));
    std::fs::write(&document, DOCUMENT)?;
    std::fs::write(&file, route)?;
    let output = Command::new(env!("CARGO_BIN_EXE_cairnctl"))
        .args(["-o", "json", "bgp", "policy", "test"])
        .args(flags)
        .arg("--route")
        .args([&file, &document])
        .output()?;
    if output.status.success() {
        return Ok(Ok(serde_json::from_slice(&output.stdout)?));
    }
    ensure!(output.stdout.is_empty(), "an error has no answer beside it");
    Ok(Err(String::from_utf8(output.stderr)?))
}

fn answer(route: &str) -> Result<Value> {
    test(route)?.map_err(anyhow::Error::msg).context("the route is tried")
}

#[test]
fn a_route_of_a_file_is_tried_on_a_document_without_a_daemon() -> Result<()> {
    let found = answer("{prefix: 10.244.1.0/26, asPath: [65002], communities: ['65002:1']}")?;
    assert_eq!((&found["accepted"], &found["decider"]["name"]), (&json!(true), &json!("pods")));
    assert_eq!(found["before"]["localPreference"], "");
    assert_eq!(found["after"]["localPreference"], "200");
    assert_eq!(found["after"]["asPath"], "65001 65001 65002");
    let found = answer("{prefix: 10.1.0.0/16}")?;
    assert_eq!((&found["accepted"], &found["after"]), (&json!(false), &Value::Null));
    Ok(())
}

#[test]
fn a_route_that_is_about_to_go_has_the_lowest_preference_as_in_the_daemon() -> Result<()> {
    let found = answer("{prefix: 10.244.1.0/26, communities: [graceful-shutdown]}")?;
    assert_eq!((&found["decider"]["name"], &found["after"]["tag"]), (&json!("leaving"), &json!("9")));
    assert_eq!(
        (&found["before"]["localPreference"], &found["after"]["localPreference"]),
        (&json!("0"), &json!("0"))
    );
    let found = answer("{prefix: 10.244.1.0/26, communities: [graceful-shutdown], source: ibgp}")?;
    assert_eq!(found["decider"]["name"], "pods");
    Ok(())
}

#[test]
fn options_of_a_neighbor_count_where_its_direction_is_named() -> Result<()> {
    let import = |prefix: &str| {
        let route = format!("{{prefix: {prefix}, communities: [blackhole], peer: 192.0.2.2}}");
        test_with(&["--filter", "accept-all", "--direction", "import"], &route)?.map_err(anyhow::Error::msg)
    };
    let found = import("10.244.1.7/32")?;
    assert_eq!(
        (&found["accepted"], &found["after"]["communities"]),
        (&json!(true), &json!("blackhole no-export"))
    );
    let found = import("10.244.1.0/24")?;
    assert_eq!(
        (&found["accepted"], &found["decider"], &found["after"]),
        (&json!(false), &Value::Null, &Value::Null)
    );
    assert!(found["reason"].as_str().context("a reason")?.contains("RFC 7999"), "{found}");
    // What is sent before maintenance; an external neighbour without the option is sent it as it is.
    let export = |peer: &str| {
        let route = format!("{{prefix: 10.244.1.0/26, localPreference: 200, peer: {peer}}}");
        test_with(&["--filter", "accept-all", "--direction", "export"], &route)?.map_err(anyhow::Error::msg)
    };
    let after =
        |found: Value| (found["after"]["communities"].clone(), found["after"]["localPreference"].clone());
    assert_eq!(after(export("192.0.2.3")?), (json!("graceful-shutdown"), json!("0")));
    assert_eq!(after(export("192.0.2.2")?), (json!(""), json!("200")));
    let error = test_with(
        &["--filter", "accept-all", "--direction", "export"],
        "{prefix: 10.1.0.0/16, peer: 192.0.2.9}",
    )?;
    assert!(error.expect_err("no such neighbor").contains("192.0.2.9: is no neighbor of the file"));
    Ok(())
}

#[test]
fn a_member_of_the_confederation_is_no_external_neighbor() -> Result<()> {
    let run = |direction: &str, filter: &str| {
        let route = "{prefix: 10.9.0.0/16, communities: [graceful-shutdown], peer: 192.0.2.4}";
        let flags = ["--filter", filter, "--direction", direction];
        test_with(&flags, route)?.map_err(anyhow::Error::msg)
    };
    // What a member about to go announces keeps its LOCAL_PREF, which only counts inside.
    let found = run("import", "from-tor")?;
    assert_eq!(
        (&found["decider"]["name"], &found["after"]["tag"]),
        (&json!("inside"), &json!("3")),
        "{found}"
    );
    let found = run("export", "accept-all")?;
    assert_eq!(found["after"]["localPreference"], "0", "{found}");
    Ok(())
}

#[test]
fn a_route_that_is_none_is_refused_with_its_place() -> Result<()> {
    let error = test("{prefix: 10.244.1.0/33}")?.expect_err("there is no such prefix");
    assert!(error.contains("route.yaml:1:"), "{error}");
    Ok(())
}
