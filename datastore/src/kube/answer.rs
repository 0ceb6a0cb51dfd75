//! What an API server answers, as objects and errors. Pure.

use cairn_api::{Kind, Object};
use kube::core::Status;
use serde_json::Value;

use crate::{Key, StoreError};

/// An object that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unusable {
    /// Which, as far as it says.
    pub(super) key: Key,
    /// Field, value and rule.
    pub(super) reason: String,
}

/// The key of an object that may be anything.
fn key_of(value: &Value) -> Key {
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
    Key::namespaced(text("namespace"), text("name"))
}

/// Reads an object, and checks it.
pub(super) fn object<K: Kind>(mut value: Value) -> Result<Object<K>, Unusable> {
    let key = key_of(&value);
    if let Some(fields) = value.as_object_mut() {
        // Those of a list say neither; metadata alone says that it is metadata.
        let partial = fields.get("kind").is_some_and(|kind| kind == "PartialObjectMetadata");
        if partial || !fields.contains_key("kind") {
            fields.insert("apiVersion".to_owned(), K::API_VERSION.into());
            fields.insert("kind".to_owned(), K::KIND.into());
        }
    }
    Object::read(value).map_err(|reason| Unusable { key, reason })
}

/// One page of a list.
pub(super) struct Page {
    /// The objects, unread.
    pub(super) items: Vec<Value>,
    /// The state of the store that they are of.
    pub(super) revision: String,
    /// What to ask for the next page with; empty on the last.
    pub(super) continued: String,
}

/// Reads a page.
pub(super) fn page(mut value: Value) -> Result<Page, String> {
    let text = |value: &Value, field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
    let (revision, continued) = (text(&value, "resourceVersion"), text(&value, "continue"));
    let items = items(&mut value)?;
    if revision.is_empty() {
        return Err("the answer to a list has no resourceVersion".to_owned());
    }
    Ok(Page { items, revision, continued })
}

/// Reads a page of a kind without a type: its objects, and what to ask for the next page with, which is empty on the last. Items of a list may leave
/// it to the list to say what they are; here each says it.
pub(super) fn foreign_page(mut value: Value) -> Result<(Vec<Value>, String), String> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, list, continued) = (text("/apiVersion"), text("/kind"), text("/metadata/continue"));
    let kind = list.strip_suffix("List").unwrap_or_default();
    let mut items = items(&mut value)?;
    for fields in items.iter_mut().filter_map(Value::as_object_mut) {
        fields.entry("apiVersion").or_insert_with(|| version.as_str().into());
        fields.entry("kind").or_insert_with(|| kind.into());
    }
    Ok((items, continued))
}

fn items(list: &mut Value) -> Result<Vec<Value>, String> {
    match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        Some(Value::Null) => Ok(Vec::new()),
        _ => Err("the answer to a list has no items".to_owned()),
    }
}

/// Is the version that was named too old for the server?
pub(super) fn is_expired(status: &Status) -> bool {
    status.code == 410 || matches!(status.reason.as_str(), "Expired" | "Gone")
}

/// What a refusal means for whoever asked for one object, naming a version.
pub(super) fn refused<K: Kind>(status: &Status, key: &Key, wanted: &str) -> StoreError {
    let kind = K::KIND;
    let key = key.clone();
    let details = status.details.as_ref();
    match (status.code, status.reason.as_str()) {
        // Not found may be the object, its namespace or the whole kind.
        (404, _) if details.is_some_and(|said| said.name == key.name && said.kind == K::PLURAL) => {
            StoreError::NotFound { kind, key }
        }
        (404, _) => unavailable::<K>(&format!(
            "the API server does not know {} of {}: are the CustomResourceDefinitions installed? ({})",
            K::PLURAL,
            K::API_VERSION,
            status.message
        )),
        (409, "AlreadyExists") => StoreError::AlreadyExists { kind, key },
        (409, _) => {
            StoreError::Conflict { kind, key, wanted: wanted.to_owned(), found: "a later one".to_owned() }
        }
        (400 | 413 | 422, _) => StoreError::Invalid { kind, key, reason: status.message.clone() },
        _ => unavailable::<K>(&said(status)),
    }
}

/// The same in one line, for requests that are about no single object.
pub(super) fn said(status: &Status) -> String {
    match status.code {
        401 => format!("the API server does not know who asks: {}", status.message),
        403 => format!("the API server does not allow it: {}", status.message),
        code => format!("the API server answers {code}: {}", status.message),
    }
}

/// The store cannot be reached, or does not do what it should.
pub(super) fn unavailable<K: Kind>(reason: &str) -> StoreError {
    StoreError::Unavailable { kind: K::KIND, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use cairn_api::core::{Namespace, Pod};
    use cairn_api::kinds::IpPool;
    use serde_json::json;

    use super::*;

    fn status(value: Value) -> Status {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_item_of_a_list_is_an_object_of_its_kind() {
        let pod: Object<Pod> =
            object(json!({ "metadata": { "name": "p", "namespace": "n" }, "spec": { "nodeName": "n1" } }))
                .unwrap();
        assert_eq!((pod.full_name(), pod.spec.node_name), ("n/p".to_owned(), "n1".to_owned()));
        let partial = json!({
            "apiVersion": "meta.k8s.io/v1",
            "kind": "PartialObjectMetadata",
            "metadata": { "name": "n", "labels": { "a": "b" }, "managedFields": [{}] },
        });
        assert_eq!(object::<Namespace>(partial).unwrap().metadata.labels["a"], "b");
    }

    #[test]
    fn what_is_invalid_says_which_and_why() {
        let found = object::<IpPool>(
            json!({ "metadata": { "name": "a" }, "spec": { "cidr": "10.0.0.0/16", "more": 1 } }),
        );
        let unusable = found.unwrap_err();
        assert_eq!(unusable.key, Key::named("a"));
        assert!(unusable.reason.contains("unknown field `more`"), "{unusable:?}");
        let found = object::<IpPool>(
            json!({ "metadata": { "name": "a" }, "spec": { "cidr": "10.0.0.0/16", "blockSize": 8 } }),
        );
        assert!(found.unwrap_err().reason.contains("spec.blockSize"));
        assert!(object::<IpPool>(json!([1])).is_err() && object::<IpPool>(Value::Null).is_err());
    }

    #[test]
    fn a_page_without_a_revision_is_none() {
        let read = |value| page(value).map(|page| (page.items.len(), page.revision, page.continued));
        let good = json!({ "metadata": { "resourceVersion": "5", "continue": "t" }, "items": [{}, {}] });
        assert_eq!(read(good), Ok((2, "5".to_owned(), "t".to_owned())));
        assert_eq!(
            read(json!({ "metadata": { "resourceVersion": "5" }, "items": null })),
            Ok((0, "5".to_owned(), String::new()))
        );
        assert!(
            read(json!({ "metadata": {}, "items": [] })).is_err()
                && read(json!({ "kind": "Status" })).is_err()
        );
    }

    #[test]
    fn refusals_keep_their_meaning() {
        let key = Key::named("a");
        let of = |value: Value| refused::<IpPool>(&status(value), &key, "3");
        let details = json!({ "name": "a", "kind": "ippools" });
        let gone = of(json!({ "code": 404, "reason": "NotFound", "details": details }));
        assert!(matches!(gone, StoreError::NotFound { .. }));
        let no_kind =
            of(json!({ "code": 404, "reason": "NotFound", "message": "the server could not find it" }));
        assert!(
            no_kind.is_temporary() && no_kind.to_string().contains("CustomResourceDefinitions"),
            "{no_kind}"
        );
        assert!(matches!(
            of(json!({ "code": 409, "reason": "AlreadyExists" })),
            StoreError::AlreadyExists { .. }
        ));
        assert!(matches!(of(json!({ "code": 409, "reason": "Conflict" })), StoreError::Conflict { .. }));
        assert!(matches!(of(json!({ "code": 422, "reason": "Invalid" })), StoreError::Invalid { .. }));
        for code in [401, 403, 429, 500, 503] {
            assert!(of(json!({ "code": code })).is_temporary(), "{code}");
        }
        assert!(
            is_expired(&status(json!({ "code": 410 })))
                && is_expired(&status(json!({ "reason": "Expired" })))
        );
    }
}
