//! Where in the text a field lies.
//!
//! The YAML library tells a position only with an error. So the text is read a second time by a reader that walks
//! down the path and fails on purpose when it arrives. That is done only for documents that are refused anyway.

use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Line and column of the value at a path such as `neighbors[2].timers.holdTime`, or of the nearest thing around it
/// that exists (a missing field has no place of its own).
pub(super) fn locate(text: &str, path: &str) -> Option<(usize, usize)> {
    let steps = steps(path);
    (0..=steps.len()).rev().find_map(|depth| {
        let place = arrive(text, steps.get(..depth)?)?.location()?;
        Some((place.line(), place.column()))
    })
}

/// The scalar at a path, as far as 80 characters; `None` if there is none.
pub(super) fn scalar(text: &str, path: &str) -> Option<String> {
    let message = arrive(text, &steps(path))?.to_string();
    let (_, rest) = message.split_once(ARRIVED)?;
    let (value, _) = rest.split_once(END)?;
    (!value.is_empty()).then(|| value.chars().take(80).collect())
}

/// Walks down the path. `None` if it leads nowhere.
fn arrive(text: &str, steps: &[Step]) -> Option<serde_yaml::Error> {
    let error = Walk { steps }.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    error.to_string().contains(ARRIVED).then_some(error)
}

fn arrived<E: Error>(value: impl fmt::Display) -> E {
    E::custom(format_args!("{ARRIVED}{value}{END}"))
}

/// Marks that no YAML text can contain, around the scalar in the message of the deliberate error.
const ARRIVED: &str = "\u{1}";
const END: &str = "\u{2}";

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut key = String::new();
    let mut rest = path.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '.' => steps.extend(take_key(&mut key)),
            '[' => {
                steps.extend(take_key(&mut key));
                let inside: String = rest.by_ref().take_while(|c| *c != ']').collect();
                // A name with a dot in it is written in brackets, too.
                steps.push(inside.parse().map_or(Step::Key(inside), Step::Index));
            }
            c => key.push(c),
        }
    }
    steps.extend(take_key(&mut key));
    steps
}

fn take_key(key: &mut String) -> Option<Step> {
    (!key.is_empty()).then(|| Step::Key(std::mem::take(key)))
}

struct Walk<'a> {
    steps: &'a [Step],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.steps.split_first() else { return Err(arrived("")) };
        while let Some(key) = map.next_key::<Key>()? {
            if matches!(first, Step::Key(wanted) if *wanted == key.0) {
                return map.next_value_seed(Walk { steps: rest });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.steps.split_first() else { return Err(arrived("")) };
        let Step::Index(index) = first else { return Ok(()) };
        for _ in 0..*index {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        seq.next_element_seed(Walk { steps: rest }).map(|_| ())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        Err(arrived(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        Err(arrived(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        Err(arrived(value))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        Err(arrived(value))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        Err(arrived(value))
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Err(arrived("null"))
    }
}

/// A key as text, whatever YAML takes it for.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::load::text(deserializer, "a key").map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_line_and_column() {
        let text = "a: 1\nb:\n- x: 1\n- x: 2\n  c:\n    d: 7\nf:\n  e.f: [8, 9]\n";
        assert_eq!(locate(text, "a"), Some((1, 4)));
        assert_eq!(locate(text, "b[1].x"), Some((4, 6)));
        assert_eq!(locate(text, "b[1].c.d"), Some((6, 8)));
        assert_eq!(locate(text, "f[e.f][1]"), Some((8, 12)));
    }

    #[test]
    fn the_scalar_at_a_path_is_read_as_it_stands() {
        assert_eq!(scalar("a: {b: [x, 10.0.0.256]}", "a.b[1]").as_deref(), Some("10.0.0.256"));
        assert_eq!(scalar("a: {b: []}", "a.b"), None);
        assert_eq!(scalar("a: 1", "b"), None);
    }

    #[test]
    fn a_missing_field_is_shown_at_what_should_hold_it() {
        let text = "a: 1\nb:\n- x: 1\n- x: 2\n";
        assert_eq!(locate(text, "b[1].y"), locate(text, "b[1]"));
        assert_eq!(locate(text, "b[1]"), Some((4, 3)));
    }
}
