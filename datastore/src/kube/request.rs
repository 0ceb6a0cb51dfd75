//! Requests to an API server. Pure: what is asked, not how it travels.

use cairn_api::{Kind, Object, name};
use http::{Method, Request, header};
use serde_json::{Value, json};

use super::Foreign;
use crate::{Key, Precondition, Query};

/// Objects in one page of a list.
pub(super) const PAGE: usize = 500;

/// A request with its body.
pub(super) type Call = Request<Vec<u8>>;

/// Objects as they are.
const JSON: &str = "application/json";
/// Metadata of objects and nothing else, for kinds of which nothing else is used.
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

/// Can there be an object of this key? A name that is no name must not become part of a path.
pub(super) fn is_possible<K: Kind>(key: &Key) -> bool {
    name::is_valid(&key.name)
        && if K::NAMESPACED { name::is_valid(&key.namespace) } else { key.namespace.is_empty() }
}

/// The path of a kind: all of it, or one namespace.
fn collection<K: Kind>(namespace: &str) -> String {
    path(K::API_VERSION, namespace, K::PLURAL)
}

fn path(api_version: &str, namespace: &str, plural: &str) -> String {
    let root = if api_version.contains('/') { "/apis/" } else { "/api/" };
    let scope = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    format!("{root}{api_version}{scope}/{plural}")
}

fn object_path<K: Kind>(key: &Key) -> String {
    format!("{}/{}", collection::<K>(&key.namespace), key.name)
}

/// The characters of a query's value that need no escape (RFC 3986 section 2.3).
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte.into());
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// What a query becomes in a URL. Values of labels and fields have no comma: Kubernetes allows none in labels, and names have none.
fn parameters(query: &Query) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    for (name, pairs) in [("labelSelector", &query.labels), ("fieldSelector", &query.fields)] {
        if !pairs.is_empty() {
            let terms: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
            parameters.push((name, terms.join(",")));
        }
    }
    parameters
}

/// What asks for one page, the first or the next.
fn page(continued: &str) -> Vec<(&'static str, String)> {
    let mut parameters = vec![("limit", PAGE.to_string())];
    if !continued.is_empty() {
        parameters.push(("continue", continued.to_owned()));
    }
    parameters
}

fn read<K: Kind>(
    path: &str,
    parameters: &[(&'static str, String)],
    metadata_only: &str,
) -> Result<Call, http::Error> {
    read_as(path, parameters, if K::METADATA_ONLY { metadata_only } else { JSON })
}

fn read_as(path: &str, parameters: &[(&'static str, String)], accept: &str) -> Result<Call, http::Error> {
    let query: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
    Request::get(uri).header(header::ACCEPT, accept).body(Vec::new())
}

fn write(method: Method, path: &str, body: &Value) -> Result<Call, http::Error> {
    let call = Request::builder().method(method).uri(path).header(header::ACCEPT, JSON);
    call.header(header::CONTENT_TYPE, JSON).body(body.to_string().into_bytes())
}

/// One object.
pub(super) fn get<K: Kind>(key: &Key) -> Result<Call, http::Error> {
    read::<K>(&object_path::<K>(key), &[], METADATA)
}

/// One object with all that it has.
pub(super) fn get_whole<K: Kind>(key: &Key) -> Result<Call, http::Error> {
    read_as(&object_path::<K>(key), &[], JSON)
}

/// One page of what a query selects; the next one where `continued` says so. Never older than any write that was answered: no
/// `resourceVersion` is named.
pub(super) fn list<K: Kind>(query: &Query, continued: &str) -> Result<Call, http::Error> {
    let mut parameters = parameters(query);
    parameters.extend(page(continued));
    read::<K>(&collection::<K>(query.namespace.as_deref().unwrap_or_default()), &parameters, METADATA_LIST)
}

/// The same of a kind without a type, in all namespaces.
pub(super) fn list_foreign(kind: Foreign, continued: &str) -> Result<Call, http::Error> {
    read_as(&path(kind.api_version, "", kind.plural), &page(continued), JSON)
}

/// What changes after a version, for so many seconds.
pub(super) fn watch<K: Kind>(query: &Query, version: &str, seconds: u64) -> Result<Call, http::Error> {
    let mut parameters = parameters(query);
    parameters.extend([
        ("watch", "true".to_owned()),
        ("allowWatchBookmarks", "true".to_owned()),
        ("resourceVersion", version.to_owned()),
        ("timeoutSeconds", seconds.to_string()),
    ]);
    read::<K>(&collection::<K>(query.namespace.as_deref().unwrap_or_default()), &parameters, METADATA)
}

/// A new object.
pub(super) fn create<K: Kind>(object: &Object<K>, mut body: Value) -> Result<Call, http::Error> {
    // What only the server decides; some of it is refused in a new object.
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["resourceVersion", "uid", "generation", "creationTimestamp"] {
            metadata.remove(field);
        }
    }
    write(Method::POST, &collection::<K>(&object.metadata.namespace), &body)
}

/// An object in place of the one of its version.
pub(super) fn replace<K: Kind>(key: &Key, status: bool, body: &Value) -> Result<Call, http::Error> {
    let path = object_path::<K>(key);
    write(Method::PUT, &if status { path + "/status" } else { path }, body)
}

/// A deletion.
pub(super) fn delete<K: Kind>(key: &Key, precondition: &Precondition) -> Result<Call, http::Error> {
    let mut options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {} });
    let conditions = [("resourceVersion", &precondition.resource_version), ("uid", &precondition.uid)];
    for (name, value) in conditions {
        if let Some(value) = value {
            options["preconditions"][name] = json!(value);
        }
    }
    write(Method::DELETE, &object_path::<K>(key), &options)
}

#[cfg(test)]
mod tests {
    use cairn_api::core::{Namespace, Pod};
    use cairn_api::kinds::IpPool;

    use super::*;

    #[test]
    fn paths_and_selectors_are_those_of_the_api() {
        let uri = |call: Result<Call, http::Error>| call.unwrap().uri().to_string();
        let of_node = Query::all().with_field("spec.nodeName", "n1").with_label("a/b", "c d");
        assert_eq!(
            uri(list::<Pod>(&of_node, "")),
            "/api/v1/pods?labelSelector=a%2Fb%3Dc%20d&fieldSelector=spec.nodeName%3Dn1&limit=500"
        );
        let secrets = Query { namespace: Some("s".to_owned()), ..Query::all() };
        assert_eq!(
            uri(watch::<Pod>(&secrets, "7", 300)),
            "/api/v1/namespaces/s/pods?watch=true&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=300"
        );
        let pools = "/apis/cairn.network/v1alpha1/ippools";
        assert_eq!(
            uri(list::<IpPool>(&Query::all(), "tok+en")),
            format!("{pools}?limit=500&continue=tok%2Ben")
        );
        assert_eq!(uri(replace::<IpPool>(&Key::named("a"), true, &json!({}))), format!("{pools}/a/status"));
    }

    #[test]
    fn a_name_that_is_none_becomes_no_path() {
        for bad in ["", "..", "a/b", "a?x=y", "A"] {
            assert!(!is_possible::<IpPool>(&Key::named(bad)), "{bad}");
            assert!(!is_possible::<Pod>(&Key::namespaced(bad, "a")), "{bad}");
        }
        assert!(!is_possible::<IpPool>(&Key::namespaced("n", "a")) && !is_possible::<Pod>(&Key::named("a")));
        assert!(is_possible::<Pod>(&Key::namespaced("n", "a")));
    }

    #[test]
    fn only_metadata_is_asked_for_where_nothing_else_is_used() {
        let accept = |call: Call| call.headers()[header::ACCEPT].to_str().unwrap().to_owned();
        assert_eq!(accept(list::<Namespace>(&Query::all(), "").unwrap()), METADATA_LIST);
        assert_eq!(accept(watch::<Namespace>(&Query::all(), "1", 1).unwrap()), METADATA);
        assert_eq!(accept(list::<Pod>(&Query::all(), "").unwrap()), JSON);
    }

    #[test]
    fn a_deletion_says_what_must_hold() {
        let precondition = Precondition { resource_version: Some("3".to_owned()), uid: None };
        let call = delete::<IpPool>(&Key::named("a"), &precondition).unwrap();
        let body: Value = serde_json::from_slice(call.body()).unwrap();
        assert_eq!(body["preconditions"], json!({ "resourceVersion": "3" }));
    }
}
