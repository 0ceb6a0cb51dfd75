//! From what speaks against an object to its condition. Pure.

use cairn_api::{Condition, ConditionStatus, Draft, DraftStatus, Kind, Object, Timestamp};

use crate::judge::Objection;

/// The condition: does the object, and what it names, make sense?
pub const ACCEPTED: &str = "Accepted";

/// So many objections are told in full, and so many characters of them; of the rest how many there are.
const MOST: usize = 8;
const LONGEST: usize = 900;

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Of each object whether it is accepted.
    Everything,
    /// Only what is wrong, and what was and is no more: files of people who wrote nothing wrong stay as they are.
    Faults,
}

/// The status that an object should have; `None` if it has it.
pub fn wanted<K: Kind>(
    object: &Object<Draft<K>>,
    objections: &[Objection],
    says: Says,
    now: Timestamp,
) -> Option<DraftStatus> {
    let known = object.conditions().iter().find(|condition| condition.kind == ACCEPTED);
    if known.is_none() && objections.is_empty() && says == Says::Faults {
        return None;
    }
    let (status, reason, message) = match objections.first() {
        None => (ConditionStatus::True, "OK", String::new()),
        Some(first) => (ConditionStatus::False, first.reason.as_str(), message(objections)),
    };
    let wanted = Condition {
        kind: ACCEPTED.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: Condition::since(known, status, now),
        observed_generation: Some(object.metadata.generation).filter(|generation| *generation > 0),
    };
    if known == Some(&wanted) {
        return None;
    }
    let mut status = object.status.clone().unwrap_or_default();
    status.conditions.retain(|condition| condition.kind != ACCEPTED);
    status.conditions.push(wanted);
    Some(status)
}

fn message(objections: &[Objection]) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut left = LONGEST;
    for objection in objections.iter().take(MOST) {
        let text: String = objection.message.chars().take(left).collect();
        left -= text.chars().count();
        if text.is_empty() {
            break;
        }
        told.push(text);
    }
    let more = objections.len() - told.len();
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    format!("{}{more}", told.join("; "))
}

#[cfg(test)]
mod tests {
    use cairn_api::Metadata;
    use cairn_api::kinds::BgpPeer;
    use serde_json::json;

    use super::*;
    use crate::judge::Reason;

    fn peer() -> Object<Draft<BgpPeer>> {
        let mut metadata = Metadata::named("a");
        metadata.generation = 3;
        Object::new(metadata, Draft::new(json!({})))
    }

    fn objection(reason: Reason, message: &str) -> Objection {
        Objection { reason, message: message.to_owned() }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    #[test]
    fn a_condition_changes_with_what_is_found_and_keeps_the_time_of_its_last_turn() {
        let mut object = peer();
        let bad = [objection(Reason::FilterMissing, "one"), objection(Reason::SecretMissing, "two")];
        object.status = wanted(&object, &bad, Says::Everything, at(10));
        let said = object.conditions()[0].clone();
        assert_eq!((said.status, said.reason.as_str()), (ConditionStatus::False, "FilterMissing"));
        assert_eq!((said.message.as_str(), said.observed_generation), ("one; two", Some(3)));
        assert_eq!(wanted(&object, &bad, Says::Everything, at(20)), None, "that is said");
        object.status = wanted(&object, &bad[1..], Says::Everything, at(30));
        let said = object.conditions()[0].clone();
        assert_eq!((said.reason.as_str(), said.last_transition_time), ("SecretMissing", at(10)));
        object.status = wanted(&object, &[], Says::Everything, at(40));
        let said = object.conditions()[0].clone();
        assert_eq!((said.status, said.reason.as_str()), (ConditionStatus::True, "OK"));
        assert_eq!((said.message.as_str(), said.last_transition_time), ("", at(40)));
        object.metadata.generation = 4;
        assert!(wanted(&object, &[], Says::Everything, at(50)).is_some(), "of another generation");
    }

    #[test]
    fn what_others_say_stays() {
        let mut object = peer();
        let text = json!({ "node": "n1", "conditions": [{
            "type": "Active", "status": "True", "reason": "OK", "lastTransitionTime": "2026-11-21T10:00:00Z",
        }] });
        object.status = Some(serde_json::from_value(text).unwrap());
        let status = wanted(&object, &[], Says::Everything, at(10)).unwrap();
        let kinds: Vec<&str> = status.conditions.iter().map(|condition| condition.kind.as_str()).collect();
        assert_eq!(kinds, ["Active", ACCEPTED]);
        assert_eq!(serde_json::to_value(&status).unwrap()["node"], "n1");
    }

    #[test]
    fn where_only_faults_are_said_nothing_is_said_of_what_never_had_one() {
        let mut object = peer();
        assert_eq!(wanted(&object, &[], Says::Faults, at(10)), None);
        object.status = wanted(&object, &[objection(Reason::Invalid, "no")], Says::Faults, at(10));
        object.status = wanted(&object, &[], Says::Faults, at(20));
        assert_eq!(object.conditions()[0].status, ConditionStatus::True);
        assert_eq!(wanted(&object, &[], Says::Faults, at(30)), None);
    }

    #[test]
    fn a_message_has_an_end() {
        let long = "x".repeat(700);
        let many: Vec<Objection> = (0..20).map(|_| objection(Reason::Invalid, &long)).collect();
        let text = message(&many);
        assert!(text.chars().count() < 1000 && text.ends_with("; and 18 more"), "{text}");
        let short: Vec<Objection> = (0..20).map(|_| objection(Reason::Invalid, "x")).collect();
        assert!(message(&short).ends_with("; and 12 more"));
    }
}
