//! What the core derives from cluster states, through its public interface.

mod announcements;
mod expansion;
mod fabric;
mod firewall;
mod random;
mod routes;
mod sessions;
mod underlay;
mod wireguard;
mod world;
