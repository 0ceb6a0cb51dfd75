//! `cairnctl node drain` and `undrain`: an annotation of the Node, in whichever store it is.

use cairn_api::annotation;
use cairn_api::core::Node;
use cairn_datastore::{Datastore, Key, StoreError, attempts};
use serde_json::json;

use crate::Error;
use crate::output::Output;

/// Longest reason, in bytes: it is part of conditions.
const LONGEST: usize = 256;

/// A reason that counts as one.
pub(super) fn reason(text: &str) -> Result<String, String> {
    let fits = !text.trim().is_empty() && text != "false" && text.len() <= LONGEST;
    let plain = !text.chars().any(char::is_control);
    (fits && plain)
        .then(|| text.to_owned())
        .ok_or_else(|| format!("a line of at most {LONGEST} bytes, not empty and not `false`"))
}

/// Marks a node as to be emptied for a reason, or takes the mark away.
pub(super) async fn mark<D: Datastore>(
    store: &D,
    name: &str,
    reason: Option<&str>,
    output: &mut Output,
) -> Result<(), Error> {
    let marked = attempts(async || {
        let mut node = store.get::<Node>(&Key::named(name)).await?;
        let annotations = &mut node.metadata.annotations;
        let before = match reason {
            Some(reason) => annotations.insert(annotation::DRAIN.to_owned(), reason.to_owned()),
            None => annotations.remove(annotation::DRAIN),
        };
        let differs = before.as_deref() != reason;
        if differs {
            store.update(&node).await?;
        }
        Ok(differs)
    });
    let differs = match marked.await {
        Err(StoreError::NotFound { .. }) => {
            return Err(Error::Answer(format!("there is no Node {name} in the store")));
        }
        marked => marked?,
    };
    if output.is_json() {
        return output.json(&json!({ "node": name, "draining": reason.is_some(), "changed": differs }));
    }
    output.line(match (reason, differs) {
        (Some(_), true) => format!("Node {name} is to be emptied: kubectl get nodestatus {name}, or cairnctl node status there, says how far it is"),
        (Some(_), false) => format!("Node {name} was to be emptied already, for that reason"),
        (None, true) => format!("Node {name} is no longer to be emptied by this command; a cordon or a taint counts for itself"),
        (None, false) => format!("Node {name} was not to be emptied by this command"),
    })
}

#[cfg(test)]
mod tests {
    use cairn_api::{Metadata, Object};
    use cairn_datastore::MemoryStore;

    use super::*;
    use crate::output::Format;

    #[tokio::test]
    async fn a_node_is_marked_and_the_rest_of_it_stays() {
        let store = MemoryStore::new();
        let mut node = Object::new(Metadata::named("n1"), Node { unschedulable: true, ..Node::default() });
        node.metadata.annotations.insert(annotation::AS_NUMBER.to_owned(), "65001".to_owned());
        store.create(&node).await.unwrap();
        let mut output = Output::new(Format::Json);
        let stored = async || {
            let node = store.get::<Node>(&Key::named("n1")).await.unwrap();
            assert!(node.spec.unschedulable && node.metadata.annotations.contains_key(annotation::AS_NUMBER));
            (node.metadata.annotations.get(annotation::DRAIN).cloned(), node.metadata.resource_version)
        };
        mark(&store, "n1", Some("new disk"), &mut output).await.unwrap();
        let first = stored().await;
        assert_eq!(first.0.as_deref(), Some("new disk"));
        mark(&store, "n1", Some("new disk"), &mut output).await.unwrap();
        assert_eq!(stored().await, first, "nothing new is written");
        mark(&store, "n1", None, &mut output).await.unwrap();
        assert_eq!(stored().await.0, None);
        let error = mark(&store, "n2", None, &mut output).await.unwrap_err().to_string();
        assert!(error.contains("no Node n2"), "{error}");
    }

    #[test]
    fn what_would_not_count_is_no_reason() {
        assert_eq!(reason("new disk").as_deref(), Ok("new disk"));
        for bad in ["", " ", "false", "a\nb", &"x".repeat(LONGEST + 1)] {
            assert!(reason(bad).is_err(), "{bad}");
        }
    }
}
