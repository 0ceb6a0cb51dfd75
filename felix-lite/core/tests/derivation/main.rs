//! What the core derives from cluster states, through its public interface.

mod addresses;
mod announcements;
mod drain;
mod egress;
mod expansion;
mod fabric;
mod filters;
mod firewall;
mod host_ports;
mod pod_cidr;
mod random;
mod reverse_path;
mod routes;
mod sense;
mod sessions;
mod underlay;
mod wireguard;
mod world;
