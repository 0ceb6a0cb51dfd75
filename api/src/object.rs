use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{Faults, Kind, Metadata, metadata, name};

/// An object of one kind: `apiVersion`, `kind`, `metadata`, `spec`, `status`.
#[derive(Debug, Clone, PartialEq)]
pub struct Object<K: Kind> {
    /// Who it is.
    pub metadata: Metadata,
    /// What its owner wants.
    pub spec: K,
    /// What was found; `None` until somebody reports it.
    pub status: Option<K::Status>,
}

impl<K: Kind> Object<K> {
    /// A new object, without status.
    pub const fn new(metadata: Metadata, spec: K) -> Self {
        Self { metadata, spec, status: None }
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// `name`, or `namespace/name`.
    pub fn full_name(&self) -> String {
        if self.metadata.namespace.is_empty() {
            self.metadata.name.clone()
        } else {
            format!("{}/{}", self.metadata.namespace, self.metadata.name)
        }
    }

    /// Checks every rule of the kind and of metadata.
    ///
    /// Errors: all faults, in the order of the fields.
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        name::check(&self.metadata.name, "metadata.name", &mut faults);
        if K::NAMESPACED {
            name::check(&self.metadata.namespace, "metadata.namespace", &mut faults);
        } else {
            faults.require(
                self.metadata.namespace.is_empty(),
                "metadata.namespace",
                &self.metadata.namespace,
                format!("{} is not namespaced: leave it out", K::KIND),
            );
        }
        K::validate(self, &mut faults);
        faults.into_result()
    }
}

impl<K: Kind> Serialize for Object<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("apiVersion", K::API_VERSION)?;
        map.serialize_entry("kind", K::KIND)?;
        map.serialize_entry("metadata", &self.metadata)?;
        if K::INLINE {
            let Value::Object(fields) = serde_json::to_value(&self.spec).map_err(S::Error::custom)? else {
                return Err(S::Error::custom("an inline kind must serialise to a map"));
            };
            for (key, value) in &fields {
                map.serialize_entry(key, value)?;
            }
        } else {
            map.serialize_entry("spec", &self.spec)?;
        }
        if let Some(status) = &self.status {
            map.serialize_entry("status", status)?;
        }
        map.end()
    }
}

impl<'de, K: Kind> Deserialize<'de> for Object<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<K>(PhantomData<K>);

impl<'de, K: Kind> Visitor<'de> for ObjectVisitor<K> {
    type Value = Object<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of kind {}", K::KIND)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<K>, A::Error> {
        let mut seen: Vec<String> = Vec::new();
        let mut metadata: Option<Metadata> = None;
        let mut spec: Option<K> = None;
        let mut status: Option<K::Status> = None;
        let mut inline = Map::new();
        while let Some(key) = map.next_key_seed(Field { strict: K::STRICT, seen: &seen })? {
            match key.as_str() {
                "apiVersion" => map.next_value_seed(Exactly(K::API_VERSION))?,
                "kind" => map.next_value_seed(Exactly(K::KIND))?,
                "metadata" => metadata = Some(read_metadata::<K, A>(&mut map)?),
                "spec" if !K::INLINE => spec = map.next_value::<Option<K>>()?,
                "status" => status = map.next_value()?,
                _ if K::INLINE => drop(inline.insert(key.clone(), map.next_value()?)),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            seen.push(key);
        }
        for field in ["apiVersion", "kind", "metadata"] {
            if !seen.iter().any(|key| key == field) {
                return Err(A::Error::missing_field(field));
            }
        }
        let spec = match spec {
            Some(spec) => spec,
            None => K::deserialize(Value::Object(inline))
                .map_err(|error| A::Error::custom(format!("spec: {error}")))?,
        };
        let metadata = metadata.ok_or_else(|| A::Error::missing_field("metadata"))?;
        Ok(Object { metadata, spec, status })
    }
}

// Keys and constants are judged inside their own visitors, so that a YAML reader knows where the fault is.

/// The name of a field that was not there before and, if strict, is known.
struct Field<'a> {
    strict: bool,
    seen: &'a [String],
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Field<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<String, E> {
        const FIELDS: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];
        if self.seen.iter().any(|seen| seen == key) {
            return Err(E::custom(format!("duplicate field `{key}`")));
        }
        if self.strict && !FIELDS.contains(&key) {
            return Err(E::unknown_field(key, FIELDS));
        }
        Ok(key.to_owned())
    }
}

/// One text and no other.
struct Exactly(&'static str);

impl<'de> DeserializeSeed<'de> for Exactly {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Exactly {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, found: &str) -> Result<(), E> {
        if found == self.0 {
            return Ok(());
        }
        let found: String = found.chars().take(64).collect();
        Err(E::custom(format!("{found:?} is not what is wanted here: {}", self.0)))
    }
}

fn read_metadata<'de, K: Kind, A: MapAccess<'de>>(map: &mut A) -> Result<Metadata, A::Error> {
    if K::STRICT {
        return map.next_value();
    }
    let mut fields: Map<String, Value> = map.next_value()?;
    fields.retain(|key, _| metadata::FIELDS.contains(&key.as_str()));
    Metadata::deserialize(Value::Object(fields))
        .map_err(|error| A::Error::custom(format!("metadata: {error}")))
}
