use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_api::{Kind, Object};

use crate::Event;

/// The objects of a kind as a watch last told them.
#[derive(Debug)]
pub struct Known<K: Kind> {
    /// By name.
    pub objects: BTreeMap<String, Arc<Object<K>>>,
    /// Was everything told once? Before that nothing is missing.
    pub listed: bool,
}

impl<K: Kind> Default for Known<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), listed: false }
    }
}

impl<K: Kind> Known<K> {
    /// Takes the next event. What cannot be used, or reached, changes nothing that is known; the store logs it.
    pub fn take(&mut self, event: Event<K>) {
        match event {
            Event::Listed(objects) => {
                let named = objects.into_iter().map(|object| (object.name().to_owned(), object));
                (self.objects, self.listed) = (named.collect(), true);
            }
            Event::Added(object) | Event::Modified(object) => {
                self.objects.insert(object.name().to_owned(), object);
            }
            Event::Deleted(object) => drop(self.objects.remove(object.name())),
            Event::Invalid { .. } | Event::Gone { .. } | Event::Unavailable { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_api::Metadata;
    use cairn_api::kinds::IpPool;

    use super::*;
    use crate::Key;

    #[test]
    fn a_list_replaces_what_was_known_and_what_cannot_be_used_changes_nothing() {
        let pool = |name: &str| {
            Arc::new(Object::new(Metadata::named(name), IpPool::of("10.0.0.0/16".parse().unwrap())))
        };
        let mut known = Known::default();
        known.take(Event::Added(pool("a")));
        assert!(!known.listed);
        known.take(Event::Listed(vec![pool("c"), pool("b")]));
        known.take(Event::Deleted(pool("c")));
        known.take(Event::Modified(pool("d")));
        known.take(Event::Invalid { key: Key::named("b"), reason: "spec".to_owned() });
        known.take(Event::Gone { key: Key::named("x") });
        known.take(Event::Unavailable { reason: "away".to_owned() });
        let names: Vec<&str> = known.objects.keys().map(String::as_str).collect();
        assert_eq!((names, known.listed), (vec!["b", "d"], true));
    }
}
