use std::collections::BTreeMap;

use cairn_api::Kind;
use cairn_datastore::Event;

/// What cannot be read of a kind since the start, and has no form that could be: what is meant by it nobody here knows.
///
/// While there is any of it not all is known of the kind, as before its first list: to act as if it were not there would replace what is in
/// force by defaults. An object that comes later and cannot be read replaces nothing, and is no longer looked at.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    objects: BTreeMap<String, String>,
    listed: bool,
    complete: bool,
}

impl Unread {
    /// Takes an event; `knows`: is a good form known of the object of this name? True if there are others than before.
    pub(crate) fn take<K: Kind>(&mut self, event: &Event<K>, knows: impl Fn(&str) -> bool) -> bool {
        if self.complete {
            return false;
        }
        let changed = match event {
            Event::Listed(objects) => {
                self.listed = true;
                let before = self.objects.len();
                for object in objects {
                    self.objects.remove(&object.full_name());
                }
                self.objects.len() != before
            }
            Event::Added(object) | Event::Modified(object) | Event::Deleted(object) => {
                self.objects.remove(&object.full_name()).is_some()
            }
            Event::Gone { key } => self.objects.remove(&key.to_string()).is_some(),
            Event::Invalid { key, reason } => {
                let name = key.to_string();
                !knows(&name) && self.objects.insert(name, reason.clone()).as_ref() != Some(reason)
            }
            Event::Unavailable { .. } => false,
        };
        self.complete = self.listed && self.objects.is_empty();
        changed
    }

    /// Was a list told?
    pub(crate) const fn is_listed(&self) -> bool {
        self.listed
    }

    /// Was all of it read once?
    pub(crate) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The objects by name, and why they cannot be read.
    pub(crate) const fn objects(&self) -> &BTreeMap<String, String> {
        &self.objects
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cairn_api::kinds::IpPool;
    use cairn_api::{Metadata, Object};
    use cairn_datastore::Key;

    use super::*;

    fn pool(name: &str) -> Arc<Object<IpPool>> {
        Arc::new(Object::new(Metadata::named(name), IpPool::of("10.0.0.0/16".parse().unwrap())))
    }

    fn invalid(name: &str) -> Event<IpPool> {
        Event::Invalid { key: Key::named(name), reason: "spec.cidr".to_owned() }
    }

    #[test]
    fn all_is_known_once_what_could_not_be_read_is_mended_or_gone() {
        let mut unread = Unread::default();
        assert!(unread.take(&invalid("a"), |_| false) && unread.take(&invalid("b"), |_| false));
        assert!(!unread.take(&invalid("a"), |_| false), "nothing new");
        assert!(!unread.take(&Event::Listed(vec![pool("c")]), |_| false));
        assert!(unread.is_listed() && !unread.is_complete());
        assert_eq!(unread.objects().keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(unread.take(&Event::Added(pool("a")), |_| false) && !unread.is_complete());
        let gone = Event::<IpPool>::Gone { key: Key::named("b") };
        assert!(unread.take(&gone, |_| false) && unread.is_complete());
        // What comes later was never in force.
        assert!(!unread.take(&invalid("d"), |_| false) && unread.is_complete());
    }

    #[test]
    fn a_good_form_stays_in_force_and_is_enough() {
        let mut unread = Unread::default();
        assert!(!unread.take(&invalid("a"), |name| name == "a"));
        assert!(!unread.take(&Event::Listed(vec![pool("a")]), |_| true));
        assert!(unread.is_complete());
    }
}
