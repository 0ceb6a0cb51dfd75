//! Schemas of the types that are text in objects.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::kinds::{CommunityRef, PeerAddress};
use crate::selector::MAX_LENGTH;
use crate::{Community, GoDuration, NoStatus, PortRange, Selector, Timestamp, WireguardKey};

macro_rules! text {
    ($($type:ident => $schema:tt),* $(,)?) => {
        $(impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })*
    };
}

text! {
    Community => { "type": "string", "maxLength": 32, "pattern": "^[0-9]+:[0-9]+(:[0-9]+)?$" },
    // A name has no colon, a value has.
    CommunityRef => { "type": "string", "minLength": 1, "maxLength": 64 },
    GoDuration => { "type": "string", "maxLength": 32, "pattern": "^([0-9]+(h|m|s|ms))+$" },
    PeerAddress => { "type": "string", "maxLength": 64, "pattern": "^[0-9a-fA-F.:]+$|^\\[[0-9a-fA-F.:]+\\]:[0-9]+$" },
    PortRange => { "type": "string", "maxLength": 11, "pattern": "^[1-9][0-9]{0,4}(:[1-9][0-9]{0,4})?$" },
    Selector => { "type": "string", "maxLength": MAX_LENGTH },
    Timestamp => { "type": "string", "format": "date-time" },
    WireguardKey => { "type": "string", "pattern": "^[A-Za-z0-9+/]{43}=$" },
    NoStatus => { "type": "object" },
}
