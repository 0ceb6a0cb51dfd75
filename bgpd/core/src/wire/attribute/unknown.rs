use std::fmt;

use super::octets::Octets;

/// Optional transitive attributes that we do not speak, opaque, in the order of their type codes.
///
/// Kept as `[type: u8][flags: u8][length: u16][value]` each; flags are those of the wire without the reserved and the
/// extended-length bits.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct UnknownAttributes(Octets);

/// One attribute that we do not speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownAttribute<'a> {
    /// Its type code.
    pub code: u8,
    /// Its flags: optional, transitive, partial.
    pub flags: u8,
    /// Its value, at most 65535 octets.
    pub value: &'a [u8],
}

impl UnknownAttributes {
    const HEAD: usize = 4;

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, each with its head of type, flags and length.
    pub(crate) fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The attributes, in the order of their type codes.
    pub fn iter(&self) -> impl Iterator<Item = UnknownAttribute<'_>> + Clone {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (&[code, flags, high, low], tail) = rest.split_first_chunk::<{ Self::HEAD }>()?;
            let (value, tail) = tail.split_at_checked(u16::from_be_bytes([high, low]).into())?;
            rest = tail;
            Some(UnknownAttribute { code, flags, value })
        })
    }
}

impl<'a> FromIterator<UnknownAttribute<'a>> for UnknownAttributes {
    /// Sorts by type code. An attribute whose value is longer than 65535 octets cannot exist, and is left out.
    fn from_iter<I: IntoIterator<Item = UnknownAttribute<'a>>>(attributes: I) -> Self {
        let mut attributes: Vec<_> = attributes.into_iter().collect();
        attributes.sort_by_key(|attribute| attribute.code);
        let mut bytes = Vec::new();
        for UnknownAttribute { code, flags, value } in attributes {
            if let Ok(len) = u16::try_from(value.len()) {
                bytes.extend_from_slice(&[code, flags]);
                bytes.extend_from_slice(&len.to_be_bytes());
                bytes.extend_from_slice(value);
            }
        }
        Self(bytes.into())
    }
}

impl fmt::Debug for UnknownAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
