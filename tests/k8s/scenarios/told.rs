//! What is said of objects: conditions, and events.

use anyhow::{Context, Result, ensure};

use crate::world::World;

/// The conditions of Cairn's objects that all is well.
const FINE: &str = "OK";

/// Waits until an object, `plural/name`, has a condition of this type with this reason, and with words about it where something is wrong.
pub(crate) fn await_condition(world: &World, object: &str, kind: &str, reason: &str) -> Result<()> {
    world.cluster.await_that("the condition of an object", || {
        let found = world.cluster.json(&["get", object])?;
        let conditions = found["status"]["conditions"].as_array();
        let mut conditions = conditions.with_context(|| format!("{object} has no conditions"))?.iter();
        let found = conditions.find(|condition| condition["type"] == kind);
        let found = found.with_context(|| format!("{object} has no condition {kind}"))?;
        let holds = if reason == FINE { "True" } else { "False" };
        ensure!(found["reason"] == reason && found["status"] == holds, "{object}: {found}");
        let message = found["message"].as_str().unwrap_or_default();
        ensure!(reason == FINE || !message.is_empty(), "{object}: {found}");
        Ok(())
    })
}

/// Waits until whoever describes the object is shown a warning with this reason.
pub(crate) fn await_event(world: &World, object: &str, reason: &str) -> Result<()> {
    let found = world.cluster.json(&["get", object])?;
    let uid = found["metadata"]["uid"].as_str().context("an object has a uid")?;
    let selector = format!("involvedObject.uid={uid},reason={reason},type=Warning");
    world.cluster.await_that("an event of an object", || {
        let events = world.cluster.json(&[
            "--namespace",
            "default",
            "get",
            "events",
            "--field-selector",
            &selector,
        ])?;
        let told = events["items"].as_array().map_or(0, Vec::len);
        ensure!(told > 0, "no event says of {object} that it is {reason}");
        Ok(())
    })
}
