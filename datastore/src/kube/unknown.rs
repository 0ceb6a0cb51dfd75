//! Objects of Kubernetes are read trimmed to what is used; writing one must lose nothing of the rest. Pure.

use serde_json::{Map, Value};

/// Carries what changed between two trimmed forms over to the whole object.
pub(super) fn carry_over(whole: &mut Value, before: &Value, after: &Value) {
    if before == after {
        return;
    }
    match (whole, before, after) {
        (Value::Object(whole), Value::Object(before), Value::Object(after)) => fields(whole, before, after),
        (Value::Array(whole), Value::Array(before), Value::Array(after)) => items(whole, before, after),
        (whole, _, after) => *whole = after.clone(),
    }
}

fn fields(whole: &mut Map<String, Value>, before: &Map<String, Value>, after: &Map<String, Value>) {
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        whole.remove(name);
    }
    for (name, value) in after {
        match (whole.get_mut(name), before.get(name)) {
            (Some(whole), Some(before)) => carry_over(whole, before, value),
            // A default that was read where there was nothing is not written.
            (_, Some(before)) if before == value => {}
            _ => {
                whole.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Items that stayed keep what is not known of them.
fn items(whole: &mut Vec<Value>, before: &[Value], after: &[Value]) {
    let old = std::mem::take(whole);
    let mut used = vec![false; before.len()];
    for item in after {
        let place = before.iter().enumerate().position(|(at, known)| !used[at] && known == item);
        let kept = place.and_then(|at| old.get(at).filter(|_| old.len() == before.len()));
        if let (Some(at), Some(_)) = (place, kept) {
            used[at] = true;
        }
        whole.push(kept.unwrap_or(item).clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_leaves_alone_what_was_not_read() {
        let mut whole = json!({
            "metadata": { "name": "n", "labels": { "a": "1", "b": "2" }, "managedFields": [1] },
            "spec": {
                "providerID": "x",
                "taints": [{ "key": "k", "effect": "NoSchedule", "timeAdded": "then" }, { "key": "l", "effect": "NoExecute" }],
            },
        });
        let before = json!({
            "metadata": { "name": "n", "labels": { "a": "1", "b": "2" } },
            "spec": { "unschedulable": false, "taints": [
                { "key": "k", "value": "", "effect": "NoSchedule" },
                { "key": "l", "value": "", "effect": "NoExecute" },
            ] },
        });
        let after = json!({
            "metadata": { "name": "n", "labels": { "b": "3" }, "annotations": { "c": "4" } },
            "spec": { "unschedulable": false, "taints": [
                { "key": "m", "value": "", "effect": "NoSchedule" },
                { "key": "k", "value": "", "effect": "NoSchedule" },
            ] },
        });
        carry_over(&mut whole, &before, &after);
        let expected = json!({
            "metadata": { "name": "n", "labels": { "b": "3" }, "annotations": { "c": "4" }, "managedFields": [1] },
            "spec": { "providerID": "x", "taints": [
                { "key": "m", "value": "", "effect": "NoSchedule" },
                { "key": "k", "effect": "NoSchedule", "timeAdded": "then" },
            ] },
        });
        assert_eq!(whole, expected);
    }

    #[test]
    fn nothing_changed_is_nothing_written() {
        let mut whole = json!({ "spec": { "more": 1 } });
        let trimmed = json!({ "spec": { "unschedulable": false } });
        carry_over(&mut whole, &trimmed, &trimmed.clone());
        assert_eq!(whole, json!({ "spec": { "more": 1 } }));
    }
}
