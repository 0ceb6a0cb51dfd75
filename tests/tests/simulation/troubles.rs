//! What happens to a network before it is left alone.

/// Numbers from a seed: SplitMix64.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From `low` to `high`, both included.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    pub(crate) fn node(&mut self, nodes: u8) -> u8 {
        u8::try_from(self.within(1, nodes.into())).unwrap_or(nodes)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.within(1, 100) <= percent
    }
}

/// One event. Nodes and prefixes are numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    Originate(u8, u8),
    Withdraw(u8, u8),
    /// The process dies, its kernel closes the connections.
    Kill(u8),
    /// The machine loses power: nobody hears of it.
    Crash(u8),
    Start(u8),
    /// Nothing gets through between two nodes any more.
    Cut(u8, u8),
    Mend(u8, u8),
    /// An operator resets a session.
    Reset(u8, u8),
    /// Everything is asked for, and sent, again.
    Refresh(u8),
    /// A node's sockets take nothing.
    Stall(u8),
    Unstall(u8),
    /// From now on everything takes so many microseconds: what was sent before may arrive after what is sent now.
    Delay(u64),
    /// So many milliseconds pass.
    Wait(u64),
}

impl Trouble {
    /// The next one.
    pub(crate) fn draw(numbers: &mut Numbers, nodes: u8, prefixes: u8) -> Self {
        let (a, b) = (numbers.node(nodes), numbers.node(nodes));
        let prefix = u8::try_from(numbers.within(0, u64::from(prefixes) - 1)).unwrap_or(0);
        match numbers.within(1, 30) {
            1..=6 => Self::Originate(a, prefix),
            7..=10 => Self::Withdraw(a, prefix),
            11 => Self::Kill(a),
            12 => Self::Crash(a),
            13..=14 => Self::Start(a),
            15 => Self::Cut(a, b),
            16 => Self::Mend(a, b),
            17 => Self::Reset(a, b),
            18 => Self::Refresh(a),
            19 => Self::Stall(a),
            20 => Self::Unstall(a),
            21..=24 => Self::Delay(10u64.pow(u32::try_from(numbers.within(1, 5)).unwrap_or(3))),
            _ => Self::Wait(numbers.within(0, 4000)),
        }
    }
}
