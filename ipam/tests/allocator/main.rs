//! The allocator on real stores, with its background loop: one program, for each would have the code of the stores once more.

mod node;
mod pod_cidr;
mod resize;
