//! The kernel's routes as the speaker knew them: by these the next hops of its paths were resolved.

use cairn_net::Prefix;
use cairn_net::handover::{Damaged, Reader, Writer};

use crate::nexthop::{Gateway, KernelRoute, KernelTable, KernelTarget};

const BLACKHOLE: u8 = 0;
const REFUSED: u8 = 1;
const GATEWAYS: u8 = 2;

pub(super) fn put(out: &mut Writer, table: &KernelTable) {
    out.count(table.len());
    for (prefix, route) in table.iter() {
        out.prefix(prefix);
        out.u32(route.metric);
        out.u8(route.protocol);
        match &route.target {
            KernelTarget::Blackhole => out.u8(BLACKHOLE),
            KernelTarget::Refused => out.u8(REFUSED),
            KernelTarget::Gateways(gateways) => {
                out.u8(GATEWAYS);
                out.list(gateways.iter(), |out, gateway| {
                    out.option(gateway.address, Writer::addr);
                    out.u32(gateway.interface);
                    out.flag(gateway.onlink);
                });
            }
        }
    }
}

pub(super) fn table(reader: &mut Reader<'_>) -> Result<KernelTable, Damaged> {
    Ok(reader.list(route)?.into_iter().collect())
}

fn route(reader: &mut Reader<'_>) -> Result<(Prefix, KernelRoute), Damaged> {
    let (prefix, metric, protocol) = (reader.prefix()?, reader.u32()?, reader.u8()?);
    let target = match reader.u8()? {
        BLACKHOLE => KernelTarget::Blackhole,
        REFUSED => KernelTarget::Refused,
        GATEWAYS => KernelTarget::Gateways(reader.list(gateway)?.into()),
        _ => return Err(Damaged("a route of the kernel is of an unknown kind")),
    };
    Ok((prefix, KernelRoute { metric, protocol, target }))
}

fn gateway(reader: &mut Reader<'_>) -> Result<Gateway, Damaged> {
    Ok(Gateway { address: reader.option(Reader::addr)?, interface: reader.u32()?, onlink: reader.flag()? })
}
