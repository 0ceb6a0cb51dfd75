//! The capability `bandwidth`: how much traffic the pod may have, in bits.

use cairn_net::{Bandwidth, Rate};
use felix_api::Refusal;
use serde_json::{Map, Value};

use super::fields::{self, Fields};

const KEY: &str = "runtimeConfig.bandwidth";
const KEYS: [&str; 4] = ["ingressRate", "ingressBurst", "egressRate", "egressBurst"];
const RATE_RULE: &str = "1000 to 100000000000 bits per second";
/// From here on a burst is what runtimes write because they must write something: cri-dockerd has 2^31-1 bits, containerd 2^32-1, CRI-O eight times that.
const UNSAID: u64 = i32::MAX as u64;

pub(crate) fn bandwidth(runtime: &Map<String, Value>) -> Result<Bandwidth, Refusal> {
    let map = match runtime.get("bandwidth") {
        None | Some(Value::Null) => return Ok(Bandwidth::default()),
        Some(Value::Object(map)) => map,
        Some(other) => return Err(fields::wrong_type(KEY, other, "an object")),
    };
    let mut fields = Fields::in_any_case(KEY, map.clone(), &KEYS);
    let ingress = direction(&mut fields, "ingressRate", "ingressBurst")?;
    Ok(Bandwidth { ingress, egress: direction(&mut fields, "egressRate", "egressBurst")? })
}

/// A rate and its burst; both 0, or not there: no limit.
fn direction(fields: &mut Fields, rate: &str, burst: &str) -> Result<Option<Rate>, Refusal> {
    let path = |key: &str| format!("{KEY}.{key}");
    let (bits, burst_bits) = (fields.number(rate)?.unwrap_or(0), fields.number(burst)?.unwrap_or(0));
    match (bits, burst_bits) {
        (0, 0) => return Ok(None),
        (0, _) => return Err(fields::invalid(&path(burst), burst_bits, "0 where there is no rate")),
        (bits, _) if !Rate::RANGE.contains(&bits) => {
            return Err(fields::invalid(&path(rate), bits, RATE_RULE));
        }
        (_, 0) => return Err(fields::invalid(&path(burst), 0, "more than 0 where there is a rate")),
        (_, burst_bits) if burst_bits > Rate::MAX_BURST => {
            return Err(fields::invalid(&path(burst), burst_bits, "at most 34359738360 bits"));
        }
        _ => {}
    }
    let burst_bits = Some(burst_bits).filter(|bits| *bits < UNSAID);
    Rate::new(bits, burst_bits).map(Some).map_err(|error| fields::rule(&path(rate), error))
}

#[cfg(test)]
mod tests {
    use felix_api::Code;
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> Result<Bandwidth, Refusal> {
        bandwidth(&[("bandwidth".to_owned(), value)].into_iter().collect())
    }

    #[test]
    fn rates_are_read_in_the_conventions_spelling_and_in_containerds() {
        let wanted = Bandwidth { ingress: None, egress: Some(Rate::new(20_000_000, None).unwrap()) };
        let conventions = json!({"egressRate": 20_000_000, "egressBurst": u32::MAX});
        let containerd = json!({"IngressRate": 0, "IngressBurst": 0, "EgressRate": 20_000_000, "EgressBurst": 8 * u64::from(u32::MAX)});
        let dockerd = json!({"egressRate": 20_000_000, "egressBurst": i32::MAX});
        for object in [conventions, containerd, dockerd] {
            assert_eq!(parse(object), Ok(wanted));
        }
        let said = parse(json!({"ingressRate": 8_000_000, "ingressBurst": 80_000})).unwrap();
        assert_eq!(said.ingress, Some(Rate::new(8_000_000, Some(80_000)).unwrap()));
        assert_eq!(parse(json!({})), Ok(Bandwidth::default()));
    }

    #[test]
    fn what_breaks_a_rule_is_named_with_field_value_and_rule() {
        for (object, field, rule) in [
            (json!({"ingressRate": 999, "ingressBurst": 1}), r#".ingressRate: "999""#, RATE_RULE),
            (json!({"egressRate": 100_000_000_001_u64, "egressBurst": 1}), ".egressRate", RATE_RULE),
            (json!({"egressRate": 1_000_000}), r#".egressBurst: "0""#, "more than 0"),
            (json!({"egressBurst": 1}), r#".egressBurst: "1""#, "0 where there is no rate"),
            (
                json!({"ingressRate": 1_000_000, "ingressBurst": 34_359_738_361_u64}),
                ".ingressBurst",
                "at most",
            ),
        ] {
            let error = parse(object).unwrap_err();
            assert_eq!(error.code, Code::INVALID_CONFIG, "{error}");
            assert!(error.msg.contains(&format!("{KEY}{field}")) && error.details.contains(rule), "{error}");
        }
        for wrong in
            [json!([]), json!({"egressRate": "1M"}), json!({"egressRate": -1}), json!({"egressRate": 1.5})]
        {
            assert_eq!(parse(wrong).unwrap_err().code, Code::DECODE);
        }
    }
}
