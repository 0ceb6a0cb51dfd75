//! What a translation found, for people: what many objects have in common is said once.

use std::collections::BTreeMap;

use serde::Serialize;

use super::calico::{Note, Outcome};
use crate::Error;
use crate::output::Output;

/// So many objects are named.
const NAMED: usize = 3;

/// A finding as a line of JSON, beside the objects.
#[derive(Serialize)]
struct Finding<'a> {
    finding: &'a Note,
}

/// Prints all findings: those that need somebody first.
pub(super) fn print(notes: &[Note], output: &mut Output) -> Result<(), Error> {
    if output.is_json() {
        return notes.iter().try_for_each(|finding| output.json(&Finding { finding }));
    }
    for line in lines(notes) {
        eprintln!("{line}");
    }
    Ok(())
}

/// One line for each outcome, kind, field and rule.
fn lines(notes: &[Note]) -> Vec<String> {
    type Group<'a> = (Outcome, &'a str, &'a str, &'a str);
    let mut groups: BTreeMap<Group<'_>, Vec<(&str, &str)>> = BTreeMap::new();
    for note in notes {
        let (kind, name) = note.object.split_once(' ').unwrap_or((&note.object, ""));
        let group = (note.outcome, kind, note.field.as_str(), note.rule.as_str());
        groups.entry(group).or_default().push((name, &note.value));
    }
    groups
        .iter()
        .map(|((outcome, kind, field, rule), members)| line(*outcome, kind, field, rule, members))
        .collect()
}

fn line(outcome: Outcome, kind: &str, field: &str, rule: &str, members: &[(&str, &str)]) -> String {
    let mut names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    // A whole kind has no name.
    let mut line = format!("{outcome:<7}  {kind} {}", names.join(", ")).trim_end().to_owned();
    if more > 0 {
        line.push_str(&format!(" and {more} more"));
    }
    if !field.is_empty() {
        line.push_str(&format!(": {field}"));
    }
    let value = members.first().map_or("", |(_, value)| *value);
    if members.iter().all(|(_, other)| *other == value) && !value.is_empty() {
        line.push_str(&format!(" {value:?}"));
    }
    format!("{line}: {rule}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(object: &str, value: &str) -> Note {
        let (field, rule) = ("spec.f".to_owned(), "why".to_owned());
        Note { outcome: Outcome::Dropped, object: object.to_owned(), field, value: value.to_owned(), rule }
    }

    #[test]
    fn what_many_have_in_common_is_said_once() {
        let all: Vec<_> = (1..=5).map(|number| note(&format!("Node n{number}"), "v")).collect();
        assert_eq!(lines(&all), ["dropped  Node n1, n2, n3 and 2 more: spec.f \"v\": why"]);
        let two = [note("Node n1", "v"), note("Node n2", "w")];
        assert_eq!(lines(&two), ["dropped  Node n1, n2: spec.f: why"]);
        assert_eq!(lines(&[note("bgppeers", "")]), ["dropped  bgppeers: spec.f: why"]);
        let mut refused = note("IPPool p", "");
        refused.outcome = Outcome::Refused;
        assert_eq!(
            lines(&[note("Node n1", "v"), refused]),
            ["refused  IPPool p: spec.f: why", "dropped  Node n1: spec.f \"v\": why"]
        );
    }
}
