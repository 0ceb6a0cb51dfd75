use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cairn_net::Family;

use crate::rib::RouteAttributes;
use crate::wire::{EncodeContext, EncodedAttributes, Nlri, encode_unreach};

/// A route, or what is left of it.
#[derive(Debug, Clone, PartialEq)]
pub struct MonitoredRoute {
    /// Prefix and path identifier.
    pub nlri: Nlri,
    /// Attributes and next hop; `None`: withdrawn.
    pub route: Option<Arc<RouteAttributes>>,
}

/// Routes as UPDATEs, each with its header, in the order of the routes. Neighbours in the list that share their attributes
/// share messages. Attributes too long for a message of the context leave their routes out.
pub fn encode_updates(routes: &[MonitoredRoute], context: &EncodeContext) -> Vec<Bytes> {
    let mut out = BytesMut::new();
    let same = |left: &MonitoredRoute, right: &MonitoredRoute| {
        left.nlri.prefix.family() == right.nlri.prefix.family()
            && match (&left.route, &right.route) {
                (None, None) => true,
                (Some(left), Some(right)) => Arc::ptr_eq(left, right),
                (None, Some(_)) | (Some(_), None) => false,
            }
    };
    for chunk in routes.chunk_by(same) {
        let Some(first) = chunk.first() else { continue };
        let family: Family = first.nlri.prefix.family();
        let nlri = chunk.iter().map(|route| route.nlri);
        match &first.route {
            None => {
                encode_unreach(family, nlri, context, &mut out);
            }
            Some(route) => {
                let encoded = EncodedAttributes::new(&route.attributes, family, route.next_hop, context);
                if let Ok(encoded) = encoded {
                    encoded.reach(nlri, &mut out);
                }
            }
        }
    }
    split_messages(out.freeze())
}

/// Cuts whole messages apart.
pub(super) fn split_messages(mut bytes: Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while let Some([high, low]) = bytes.get(16..18) {
        let len = usize::from(u16::from_be_bytes([*high, *low])).max(19);
        if bytes.len() < len {
            break;
        }
        messages.push(bytes.split_to(len));
    }
    messages
}
