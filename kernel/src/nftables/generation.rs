//! The counter of committed transactions: who changed the firewall, and has anybody?

use super::table::header;
use super::uapi::message;
use crate::Error;
use crate::netlink::{Attribute, Batch, Frame, Socket};

/// The multicast group that tells of every commit (`NFNLGRP_NFTABLES`).
pub const GROUP: libc::c_int = 7;

/// A committed transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    /// Counts commits in the namespace, in all tables.
    pub id: u32,
    /// The process that made it; in the answer to [`Generation::current`], the process that asked.
    pub process: Option<u32>,
}

impl Generation {
    /// The latest one of the socket's namespace.
    pub fn current(socket: &mut Socket) -> Result<Self, Error> {
        let mut batch = Batch::new();
        batch.message(message::GET_GENERATION, 0, &header(0, 0));
        let mut found = None;
        socket
            .query(&mut batch, |frame| found = Self::decode(frame).or(found))
            .map_err(|refusal| Error::refused("read", "nftables generation", refusal))?;
        found.ok_or(Error::Malformed { what: "nftables generation", rule: "carries an id" })
    }

    /// Reads a message of [`GROUP`]; `None` if it is about something else.
    pub fn decode(frame: Frame<'_>) -> Option<Self> {
        if frame.kind != message::NEW_GENERATION {
            return None;
        }
        let attributes = frame.attributes(4);
        // enum nft_gen_attributes
        let id = attributes.find(1)?.be32()?;
        Some(Self { id, process: attributes.find(2).and_then(Attribute::be32) })
    }
}
