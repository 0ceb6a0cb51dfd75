//! The steps of a plan, one after the other. Before each it is planned anew, from what is there then: so whatever was done already is not done
//! again, and what was not shown is not done at all.

use std::time::{Duration, Instant, SystemTime};

use cairn_datastore::{Datastore, StoreError};
use cairn_ipam::resize::{Performed, Plan, Step, perform};
use serde_json::json;

use super::show;
use crate::Error;
use crate::output::Output;

/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_secs(2);

/// Does all that is left of a plan that was shown. `look` plans anew.
pub(super) async fn all(
    store: &impl Datastore,
    shown: &Plan,
    look: impl AsyncFn() -> Result<Plan, Error>,
    wait: Duration,
    output: &mut Output,
) -> Result<(), Error> {
    let deadline = Instant::now() + wait;
    let mut waits = String::new();
    loop {
        let now = look().await?;
        if !now.objections.is_empty() {
            show::plan(&now, output)?;
            return Err(Error::Answer(format!(
                "objections: {}; {}",
                now.objections.len(),
                state(shown, &now)
            )));
        }
        if let Some(step) = now.beyond(shown) {
            return Err(Error::Answer(format!(
                "the plan does not have this step: {step}. Plan again; {}",
                state(shown, &now)
            )));
        }
        let Some(step) = now.steps.first() else { return done(shown, output) };
        // What is empty need not be waited for.
        let step = match step {
            Step::Empty { .. } if now.left.is_empty() => now.steps.get(1).unwrap_or(step),
            step => step,
        };
        match perform(store, &now.change, step, &|| SystemTime::now().into()).await {
            Ok(Performed::Done) if matches!(step, Step::Empty { .. }) => {}
            Ok(Performed::Done) => say(step, "done", output)?,
            Ok(Performed::Changed(why)) => {
                return Err(Error::Answer(format!("{why}. Plan again; {}", state(shown, &now))));
            }
            // Somebody else has written: it is looked at anew.
            Err(StoreError::Conflict { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
            Ok(Performed::Waits(left)) => {
                let text = show::left(&left);
                if text != waits {
                    say(step, &format!("waits for {text}"), output)?;
                    waits = text;
                }
                if Instant::now() >= deadline {
                    return still_waiting(shown, &now, output);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn done(shown: &Plan, output: &mut Output) -> Result<(), Error> {
    if output.is_json() {
        return output.json(&json!({ "done": shown.change.to_string() }));
    }
    output.line(format_args!("done: {}", shown.change))
}

fn say(step: &Step, what: &str, output: &mut Output) -> Result<(), Error> {
    if output.is_json() {
        return output.json(&json!({ "step": step, "state": what }));
    }
    output.line(format_args!("{step}: {what}"))
}

/// How far it has got.
fn state(shown: &Plan, now: &Plan) -> String {
    let done = shown.steps.iter().filter(|step| !now.steps.contains(step));
    let done: Vec<String> = done.map(ToString::to_string).collect();
    if done.is_empty() { "nothing was done".to_owned() } else { format!("done so far: {}", done.join("; ")) }
}

fn still_waiting(shown: &Plan, now: &Plan, output: &mut Output) -> Result<(), Error> {
    show::plan(now, output)?;
    Err(Error::Answer(format!(
        "not all is given back yet; {}. Start anew what is listed, and apply the same plan again",
        state(shown, now)
    )))
}

#[cfg(test)]
mod tests {
    use cairn_api::kinds::{AffinityState, Allocation, AllocationState, BlockAffinity, IpPool, IpamBlock};
    use cairn_api::{Metadata, Object, Timestamp, name};
    use cairn_datastore::{Key, MemoryStore, Precondition};
    use cairn_ipam::resize::{Change, Seen, Wish, plan};

    use super::*;
    use crate::output::Format;

    async fn look(store: &MemoryStore, change: &Change) -> Result<Plan, Error> {
        Ok(plan(change, &Seen::read(store).await?, SystemTime::now().into()))
    }

    async fn planned(store: &MemoryStore, cidr: &str, to: Option<&str>) -> Plan {
        let wish = Wish {
            pool: "p".to_owned(),
            cidr: Some(cidr.parse().unwrap()),
            to: to.map(str::to_owned),
            ..Wish::default()
        };
        let change = Change::of(&wish, &Seen::read(store).await.unwrap().pools).unwrap();
        look(store, &change).await.unwrap()
    }

    /// Applies without patience; the answer is what went wrong.
    async fn apply(store: &MemoryStore, shown: &Plan) -> Option<String> {
        let again = async || look(store, &shown.change).await;
        let done = all(store, shown, again, Duration::ZERO, &mut Output::new(Format::Json)).await;
        done.err().map(|error| error.to_string())
    }

    async fn pool(store: &MemoryStore, name: &str) -> Option<IpPool> {
        store.get::<IpPool>(&Key::named(name)).await.ok().map(|found| found.spec)
    }

    async fn with_pool(cidr: &str) -> MemoryStore {
        let store = MemoryStore::new();
        let spec = IpPool::of(cidr.parse().unwrap());
        store.create(&Object::new(Metadata::named("p"), spec)).await.unwrap();
        store
    }

    #[tokio::test]
    async fn a_move_stops_at_live_addresses_and_goes_on_once_they_are_gone() {
        let store = with_pool("10.0.0.0/24").await;
        let cidr = "10.0.0.64/26".parse().unwrap();
        let block_name = name::of_prefix(cidr);
        let entry = Allocation {
            address: [10, 0, 0, 65].into(),
            node: "n1".to_owned(),
            state: AllocationState::Assigned,
            handle: "net.c.eth0".to_owned(),
            pod: "shop/web-1".to_owned(),
            since: Timestamp::from_unix(1),
        };
        let block = IpamBlock { cidr, pool: "p".to_owned(), allocations: vec![entry] };
        let affinity = BlockAffinity {
            cidr,
            node: "n1".to_owned(),
            pool: "p".to_owned(),
            state: AffinityState::Confirmed,
        };
        store.create(&Object::new(Metadata::named(&block_name), affinity)).await.unwrap();
        store.create(&Object::new(Metadata::named(&block_name), block)).await.unwrap();

        let shown = planned(&store, "10.9.0.0/24", Some("q")).await;
        let error = apply(&store, &shown).await.unwrap();
        assert!(error.contains("not all is given back yet; done so far: create IPPool q"), "{error}");
        assert!(pool(&store, "p").await.is_some_and(|pool| pool.disabled), "it gives nothing any more");
        assert!(pool(&store, "q").await.is_some_and(|pool| !pool.disabled));

        let key = Key::named(&block_name);
        store.delete::<IpamBlock>(&key, &Precondition::default()).await.unwrap();
        let error = apply(&store, &shown).await.unwrap();
        assert!(error.contains("not all is given back yet"), "the affinity is there: {error}");
        store.delete::<BlockAffinity>(&key, &Precondition::default()).await.unwrap();
        assert_eq!(apply(&store, &shown).await, None);
        assert_eq!(pool(&store, "p").await, None);
        assert_eq!(apply(&store, &shown).await, None, "once more does nothing");
    }

    #[tokio::test]
    async fn what_was_not_shown_is_not_done() {
        let store = with_pool("10.0.0.0/24").await;
        let shown = planned(&store, "10.0.0.0/25", None).await;
        let without: Plan = Plan { steps: shown.steps[1..].to_vec(), ..shown.clone() };
        let error = apply(&store, &without).await.unwrap();
        assert!(error.contains("the plan does not have this step: disable IPPool p"), "{error}");
        assert!(pool(&store, "p").await.is_some_and(|pool| !pool.disabled && pool.cidr.len() == 24));
        assert_eq!(apply(&store, &shown).await, None);
        let narrow = pool(&store, "p").await.unwrap();
        assert_eq!((narrow.cidr.to_string().as_str(), narrow.disabled), ("10.0.0.0/25", false));
    }
}
