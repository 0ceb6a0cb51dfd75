//! `cairnctl bgp policy test` without a daemon.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

const DOCUMENT: &str = "\
routerId: 10.0.0.1
localAs: 65001
prefixSets: {pods: [{prefix: 10.244.0.0/16, le: 26}]}
filters:
  from-tor:
    rules:
    - {name: leaving, match: {localPreference: 0}, set: {tag: 9}, then: accept}
    - {name: pods, match: {prefixSet: pods}, set: {localPreference: 200, prepend: {count: 2}}, then: accept}
neighbors: [{address: 192.0.2.2, remoteAs: 65002, import: from-tor, export: accept-all}]
";

/// The program's answer as JSON, or its error as text.
fn test(route: &str) -> Result<Result<Value, String>> {
    let directory = tempfile::tempdir()?;
    let (document, file) = (directory.path().join("bgpd.yaml"), directory.path().join("route.yaml"));
    std::fs::write(&document, DOCUMENT)?;
    std::fs::write(&file, route)?;
    let output = Command::new(env!("CARGO_BIN_EXE_cairnctl"))
        .args(["-o", "json", "bgp", "policy", "test", "--filter", "from-tor", "--route"])
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
fn a_route_that_is_none_is_refused_with_its_place() -> Result<()> {
    let error = test("{prefix: 10.244.1.0/33}")?.expect_err("there is no such prefix");
    assert!(error.contains("route.yaml:1:"), "{error}");
    Ok(())
}
