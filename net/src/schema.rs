//! JSON schemas of the types that objects hold as text or as a number, with the rules that they are read by.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{Asn, Prefix, RemoteAs};

impl JsonSchema for Prefix {
    fn schema_name() -> Cow<'static, str> {
        "Prefix".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 49,
            "x-kubernetes-validations": [{
                "rule": "isIP(self) || (isCIDR(self) && cidr(self) == cidr(self).masked())",
                "message": "a prefix such as 10.0.0.0/8 or fd00::/8, without host bits",
            }],
        })
    }
}

impl JsonSchema for Asn {
    fn schema_name() -> Cow<'static, str> {
        "Asn".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX })
    }
}

impl JsonSchema for RemoteAs {
    fn schema_name() -> Cow<'static, str> {
        "RemoteAs".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "x-kubernetes-validations": [{
                "rule": "type(self) == int ? self >= 0 && self <= 4294967295 : self == 'external' || self == 'internal'",
                "message": "an AS number, external or internal",
            }],
        })
    }
}
