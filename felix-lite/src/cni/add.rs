//! ADD: addresses, record, wiring, engine; and back in reverse if one of them fails.

use std::fs::File;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use cairn_datastore::Datastore;
use cairn_ipam::{Assigned, Handle, IpamError};
use cairn_net::{Families, Family};
use felix_api::{Add, Attached, Code, Refusal};
use tracing::{debug, info, warn};

use super::journal::{NetnsId, Record};
use super::name::{host_ifname, pod_mac};
use super::pools::{self, Named};
use super::resize::fitting;
use super::server::{Server, engine, handle, handle_of};
use super::underlay::Chosen;
use super::wiring::Moment;
use super::wishes;

/// Least MTU of a link that carries IPv6 (RFC 8200 section 5), and of one that carries IPv4 (RFC 791).
pub(super) const MIN_MTU: [(Family, u32); 2] = [(Family::Ipv6, 1280), (Family::Ipv4, 68)];

impl<D: Datastore + Send + Sync + 'static> Server<D> {
    /// Connects a container. The same call again gives the same answer; with another namespace the wiring is made anew around the same addresses.
    pub(super) async fn add(&self, add: Add, netns: Option<File>) -> Result<Attached, Refusal> {
        let began = Instant::now();
        let (netns, netns_id) = namespace(&add.netns, netns)?;
        let _guard = self.locks.lock(&add.attachment).await;
        // A DEL kept from before this ADD must not be carried out after it.
        self.spool.remove(&add.attachment).unwrap_or_else(|error| warn!(%error, "a kept DEL stays"));
        if let Some(old) = self.journal.get(&add.attachment) {
            let same = (&old.host_ports, old.bandwidth) == (&add.host_ports, add.bandwidth);
            if same && old.netns_id == netns_id && self.still_there(&old, &netns).await {
                self.endpoints.add(old.endpoint()).await.map_err(|error| engine(&error))?;
                return Ok(old.attached());
            }
            debug!(attachment = %add.attachment, "made anew: the namespace is another, or not as it was left, or other ports or limits are asked for");
            self.unwire(&old).await?;
        }
        let assigned = self.assign(&add).await?;
        let addresses: Vec<IpAddr> = assigned.iter().map(|assigned| assigned.address).collect();
        let chosen = self.choose(&add, &assigned).and_then(|chosen| {
            let passing = chosen.as_ref().map(|chosen| chosen.underlay.interface.as_str());
            wishes::check(&add, &addresses, passing).map(|()| chosen)
        });
        let chosen = match chosen {
            Ok(chosen) => chosen,
            Err(refusal) => {
                self.give_back(&handle_of(&add.network, &add.attachment));
                return Err(refusal);
            }
        };
        let record = Arc::new(self.record(add, netns_id, &addresses, chosen));
        match self.connect(&record, &netns).await {
            Ok(()) => {
                // The pods that are there were looked at, perhaps, before this one was among them.
                if !record.mtu_fixed && record.mtu != fitting(self.mtu(), &record.addresses) {
                    self.outdated.notify_one();
                }
                info!(attachment = %record.attachment, owner = record.owner(), interface = record.interface, addresses = ?record.addresses, took_us = began.elapsed().as_micros(), "ADD");
                Ok(record.attached())
            }
            Err(refusal) => {
                self.roll_back(&record).await;
                Err(refusal)
            }
        }
    }

    async fn still_there(&self, record: &Arc<Record>, netns: &Arc<File>) -> bool {
        self.wiring.check(Arc::clone(record), Arc::clone(netns)).await.is_ok()
    }

    /// One address of each family that is asked for; of each that has a pool where nothing is said.
    async fn assign(&self, add: &Add) -> Result<Vec<Assigned>, Refusal> {
        let addresses = &add.addresses.addresses;
        let families = add.addresses.families().or_else(|| {
            (!addresses.is_empty()).then(|| addresses.iter().map(|address| Family::of(*address)).collect())
        });
        let namespace = add.pod.as_ref().map_or("", |pod| pod.namespace.as_str());
        let said = self.namespaces.of(namespace);
        let Named { pools, by } = pools::named(&add.addresses, namespace, &said)?;
        let mut request = cairn_ipam::Request {
            pod: add.pod.as_ref().map(ToString::to_string).unwrap_or_default(),
            families: families.unwrap_or(Families::ALL),
            pools,
            addresses: addresses.clone(),
            namespace_labels: said.labels,
            ..cairn_ipam::Request::any(handle_of(&add.network, &add.attachment), Families::NONE)
        };
        loop {
            match self.ipam.assign(&request).await {
                Ok(assigned) => return Ok(in_order(assigned)),
                Err(IpamError::NoPool { family, .. })
                    if families.is_none() && request.families == Families::ALL =>
                {
                    request.families = request.families.without(family);
                }
                Err(error) => return Err(refused(&error, &by)),
            }
        }
    }

    fn record(&self, add: Add, netns_id: NetnsId, addresses: &[IpAddr], chosen: Option<Chosen>) -> Record {
        let mac = chosen.as_ref().map_or(add.mac, |chosen| chosen.mac);
        let mtu = || fitting(add.mtu.unwrap_or_else(|| self.mtu()), addresses);
        Record {
            interface: host_ifname(&add.attachment),
            pod_mac: mac.unwrap_or_else(|| pod_mac(&add.attachment)),
            mtu: chosen.as_ref().map_or_else(mtu, |chosen| chosen.mtu),
            // That of the underlay has nothing to do with the ways to other nodes.
            mtu_fixed: add.mtu.is_some() || chosen.is_some(),
            attachment: add.attachment,
            network: add.network,
            netns: add.netns,
            netns_id,
            pod: add.pod,
            addresses: addresses.to_vec(),
            underlay: chosen.map(|chosen| chosen.underlay),
            host_ports: add.host_ports,
            bandwidth: add.bandwidth,
        }
    }

    /// Gives back the addresses of an attachment that was not made.
    fn give_back(&self, handle: &Handle) {
        if let Err(error) = self.ipam.release(handle) {
            warn!(%handle, %error, "addresses are not given back");
        }
    }

    async fn connect(&self, record: &Arc<Record>, netns: &Arc<File>) -> Result<(), Refusal> {
        self.journal.put(record).map_err(|error| Refusal::new(Code::IO, error.to_string()))?;
        self.wiring.up(Arc::clone(record), Arc::clone(netns)).await?;
        self.endpoints.add(record.endpoint()).await.map_err(|error| engine(&error))?;
        self.wiring.end_flows(record, Moment::Added).await;
        Ok(())
    }

    /// Undoes whatever of an ADD was done. What fails is logged: DEL, which the runtime owes us, tries it again.
    async fn roll_back(&self, record: &Arc<Record>) {
        if let Err(refusal) = self.unwire(record).await {
            warn!(attachment = %record.attachment, %refusal, "roll-back of ADD is incomplete");
            return;
        }
        self.forget(record).unwrap_or_else(|refusal| {
            warn!(attachment = %record.attachment, handle = %handle(record), %refusal, "roll-back of ADD is incomplete");
        });
    }

    /// Removes routes, firewall elements and the interface, and waits until it is gone.
    async fn unwire(&self, record: &Arc<Record>) -> Result<(), Refusal> {
        self.detach(record, None).await?;
        self.endpoints.remove(&record.interface).await.map_err(|error| engine(&error))?;
        self.wiring.end_flows(record, Moment::Removed).await;
        Ok(self.wiring.remove(&record.interface).await?)
    }
}

impl<D: Datastore + Send + Sync + 'static> Server<D> {
    /// Takes what a container has in the underlay out of its namespace, which is the one that came along, or that of ADD if it is there
    /// still. It goes with the namespace otherwise.
    pub(super) async fn detach(&self, record: &Arc<Record>, netns: Option<File>) -> Result<(), Refusal> {
        if record.underlay.is_none() {
            return Ok(());
        }
        let of_add = |file: &File| NetnsId::of(file).is_ok_and(|id| id == record.netns_id);
        let netns = netns.filter(of_add).or_else(|| File::open(&record.netns).ok().filter(of_add));
        if let Some(netns) = netns {
            self.wiring.detach(Arc::clone(record), Arc::new(netns)).await?;
        }
        Ok(())
    }
}

/// The namespace that came with the request, and who it is; never the node's own.
pub(super) fn namespace(path: &str, netns: Option<File>) -> Result<(Arc<File>, NetnsId), Refusal> {
    let io = |error: std::io::Error| Refusal::new(Code::IO, format!("{path}: {error}"));
    let netns =
        netns.ok_or_else(|| Refusal::new(Code::INVALID_ENVIRONMENT, "CNI_NETNS did not come along"))?;
    let id = NetnsId::of(&netns).map_err(io)?;
    let own = File::open("/proc/thread-self/ns/net").and_then(|own| NetnsId::of(&own)).map_err(io)?;
    if id == own {
        let msg = format!("CNI_NETNS: {path:?} is the node's own namespace");
        return Err(
            Refusal::new(Code::INVALID_ENVIRONMENT, msg).because("pods on the host's network need no plugin")
        );
    }
    Ok((Arc::new(netns), id))
}

/// IPv4 first.
fn in_order(mut assigned: Vec<Assigned>) -> Vec<Assigned> {
    assigned.sort_by_key(|assigned| Family::of(assigned.address));
    assigned
}

/// The allocator's no, in CNI's terms. `by`: the annotations of the pod's namespace that name pools.
fn refused(error: &IpamError, by: &[String]) -> Refusal {
    let code = match error {
        IpamError::Store { .. } => Code::TRY_AGAIN,
        IpamError::Journal { .. } => Code::IO,
        IpamError::BadRequest { .. } => Code::INVALID_CONFIG,
        IpamError::NoPool { .. } | IpamError::Exhausted { .. } | IpamError::NotAvailable { .. } => Code::IPAM,
    };
    let refusal = Refusal::new(code, error.to_string());
    if code != Code::IPAM || by.is_empty() {
        return refusal;
    }
    refusal.because(format_args!("pools are named by {}", by.join(" and ")))
}
