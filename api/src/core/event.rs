use serde::{Deserialize, Serialize};

use super::micro_time;
use crate::{Faults, Kind, NoStatus, Object, Timestamp};

/// events.k8s.io/v1 Event: what is told of an object to whoever describes it. The server keeps it for an hour after its last change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// When it was first told.
    #[serde(with = "micro_time", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<Timestamp>,
    /// Which program tells it, such as `cairn.network/controller`.
    pub reporting_controller: String,
    /// Which of several. Range: 1 to 128 bytes.
    pub reporting_instance: String,
    /// What was judged. Range: 1 to 128 bytes.
    pub action: String,
    /// Why, in one word. Range: 1 to 128 bytes.
    pub reason: String,
    /// The object.
    pub regarding: Regarding,
    /// A sentence for people. Range: up to 1024 bytes.
    pub note: String,
    /// Is it something to look at?
    #[serde(rename = "type")]
    pub kind: EventType,
    /// That it was told again; all else never changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<EventSeries>,
}

/// Is an event something to look at?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum EventType {
    /// No.
    #[default]
    Normal,
    /// Yes.
    Warning,
}

/// How often an event was told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventSeries {
    /// How often: twice at least.
    pub count: u32,
    /// When last.
    #[serde(with = "micro_time")]
    pub last_observed_time: Option<Timestamp>,
}

/// Which object an event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Regarding {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name. None of these objects is in a namespace.
    pub name: String,
    /// So that another one of the same name is not meant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

impl Kind for Event {
    type Status = NoStatus;
    const API_VERSION: &'static str = "events.k8s.io/v1";
    const KIND: &'static str = "Event";
    const PLURAL: &'static str = "events";
    const NAMESPACED: bool = true;
    const STRICT: bool = false;
    const INLINE: bool = true;

    fn validate(_: &Object<Self>, _: &mut Faults) {}
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Metadata;

    #[test]
    fn fields_stand_beside_the_metadata_and_survive_what_a_server_adds() {
        let event = Event {
            event_time: Some(Timestamp::from_unix(1)),
            reason: "FilterMissing".to_owned(),
            kind: EventType::Warning,
            series: Some(EventSeries { count: 2, last_observed_time: Some(Timestamp::from_unix(60)) }),
            ..Event::default()
        };
        let object = Object::new(Metadata::namespaced("default", "tor.1"), event);
        let mut text = serde_json::to_value(&object).unwrap();
        assert_eq!(text["type"], "Warning");
        assert_eq!(text["eventTime"], "1970-01-01T00:00:01.000000Z");
        assert_eq!(text["series"], json!({ "count": 2, "lastObservedTime": "1970-01-01T00:01:00.000000Z" }));
        text["deprecatedSource"] = json!({});
        assert_eq!(serde_json::from_value::<Object<Event>>(text).unwrap(), object);
    }
}
