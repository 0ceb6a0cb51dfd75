use std::fmt;

/// The state of a session (RFC 5880 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum State {
    /// Taken down by an operator. Says nothing about the path.
    AdminDown,
    /// Nothing is heard, or the other side does not hear us.
    #[default]
    Down,
    /// The other side is heard and says Down.
    Init,
    /// Both sides hear each other.
    Up,
}

impl State {
    /// From the wire's two bits.
    pub const fn from_wire(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    /// The wire's two bits.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        })
    }
}

/// Why a session left Up last (RFC 5880 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Diagnostic {
    /// 0: it never did.
    #[default]
    None,
    /// 1: nothing was heard for the detection time.
    ControlDetectionTimeExpired,
    /// 2: echo packets did not come back.
    EchoFunctionFailed,
    /// 3: the other side said Down or AdminDown.
    NeighborSignaledSessionDown,
    /// 4: the forwarding plane was reset.
    ForwardingPlaneReset,
    /// 5: the path is down, found by other means.
    PathDown,
    /// 6: a path that this one is joined to is down.
    ConcatenatedPathDown,
    /// 7: an operator took it down.
    AdministrativelyDown,
    /// 8: the way back of a joined path is down.
    ReverseConcatenatedPathDown,
    /// A code without a name, kept as it came. Range: 9 to 31.
    Other(u8),
}

impl Diagnostic {
    /// From the wire's five bits.
    pub const fn from_wire(bits: u8) -> Self {
        match bits & 31 {
            0 => Self::None,
            1 => Self::ControlDetectionTimeExpired,
            2 => Self::EchoFunctionFailed,
            3 => Self::NeighborSignaledSessionDown,
            4 => Self::ForwardingPlaneReset,
            5 => Self::PathDown,
            6 => Self::ConcatenatedPathDown,
            7 => Self::AdministrativelyDown,
            8 => Self::ReverseConcatenatedPathDown,
            other => Self::Other(other),
        }
    }

    /// The wire's five bits.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::None => 0,
            Self::ControlDetectionTimeExpired => 1,
            Self::EchoFunctionFailed => 2,
            Self::NeighborSignaledSessionDown => 3,
            Self::ForwardingPlaneReset => 4,
            Self::PathDown => 5,
            Self::ConcatenatedPathDown => 6,
            Self::AdministrativelyDown => 7,
            Self::ReverseConcatenatedPathDown => 8,
            Self::Other(other) => other & 31,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "No Diagnostic",
            Self::ControlDetectionTimeExpired => "Control Detection Time Expired",
            Self::EchoFunctionFailed => "Echo Function Failed",
            Self::NeighborSignaledSessionDown => "Neighbor Signaled Session Down",
            Self::ForwardingPlaneReset => "Forwarding Plane Reset",
            Self::PathDown => "Path Down",
            Self::ConcatenatedPathDown => "Concatenated Path Down",
            Self::AdministrativelyDown => "Administratively Down",
            Self::ReverseConcatenatedPathDown => "Reverse Concatenated Path Down",
            Self::Other(code) => return write!(f, "diagnostic {code}"),
        })
    }
}
