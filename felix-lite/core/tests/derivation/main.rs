//! What the core derives from cluster states, through its public interface.

mod announcements;
mod egress;
mod expansion;
mod fabric;
mod firewall;
mod pod_cidr;
mod random;
mod routes;
mod sessions;
mod underlay;
mod wireguard;
mod world;
