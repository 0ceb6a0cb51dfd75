//! Decoding and encoding UPDATEs, in time for each prefix.
//!
//! The attributes are those of a usual Internet route: five AS, MED, four communities.

#![allow(missing_docs)] // the macros' own items

use std::hint::black_box;

use bgp_core::policy::{PrefixEntry, PrefixList};
use bgp_core::wire::{
    AsPath, Attributes, Community, DecodeContext, EncodeContext, EncodedAttributes, Framer, NextHop, Nlri,
    PeerKind, Update,
};
use bytes::BytesMut;
use cairn_net::{Asn, Families, Family, Prefix};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [u32; 3] = [1, 10, 500];

const CONTEXT: DecodeContext = DecodeContext {
    peer: PeerKind::External,
    four_octet_as: true,
    families: Families::ALL,
    add_path: Families::NONE,
    extended_next_hop: false,
    first_as: Some(Asn(65001)),
};

fn attributes() -> Attributes {
    Attributes {
        as_path: AsPath::sequence([65001, 3356, 1299, 4_200_000_000, 64512].map(Asn)),
        med: Some(5),
        communities: (1..=4).map(|low| Community::new(65001, low)).collect(),
        ..Attributes::default()
    }
}

/// Consecutive /24 or /64.
fn prefixes(family: Family, count: u32) -> Vec<Nlri> {
    let (base, len): (Prefix, u8) = match family {
        Family::Ipv4 => ("10.0.0.0/8".parse().expect("a prefix"), 24),
        Family::Ipv6 => ("fd00::/32".parse().expect("a prefix"), 64),
    };
    (0..count).map(|number| base.subnet(len, number.into()).expect("inside").into()).collect()
}

fn next_hop(family: Family) -> NextHop {
    let text = match family {
        Family::Ipv4 => "192.0.2.1",
        Family::Ipv6 => "2001:db8::1",
    };
    NextHop::new(text.parse().expect("an address"))
}

fn message(family: Family, count: u32) -> BytesMut {
    let context = EncodeContext { max_message_len: 65535, ..EncodeContext::default() };
    let encoded =
        EncodedAttributes::new(&attributes(), family, next_hop(family), &context).expect("they fit");
    let mut out = BytesMut::new();
    assert_eq!(encoded.reach(prefixes(family, count), &mut out), 1);
    out
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for family in Family::ALL {
        for count in SIZES {
            let message = message(family, count);
            group.throughput(Throughput::Elements(count.into()));
            group.bench_function(BenchmarkId::new(family.to_string(), count), |bencher| {
                bencher.iter(|| Update::decode(black_box(&message[19..]), &CONTEXT));
            });
        }
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let (attributes, context) = (attributes(), EncodeContext::default());
    for family in Family::ALL {
        for count in SIZES {
            let prefixes = prefixes(family, count);
            let mut out = BytesMut::with_capacity(1 << 16);
            group.throughput(Throughput::Elements(count.into()));
            group.bench_function(BenchmarkId::new(family.to_string(), count), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    let encoded =
                        EncodedAttributes::new(black_box(&attributes), family, next_hop(family), &context)
                            .expect("they fit");
                    encoded.reach(prefixes.iter().copied(), &mut out)
                });
            });
        }
    }
    group.finish();
}

fn frame(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    let mut stream = BytesMut::new();
    (0..500).for_each(|_| stream.extend_from_slice(&message(Family::Ipv4, 10)));
    group.throughput(Throughput::Elements(500));
    group.bench_function("messages", |bencher| {
        bencher.iter(|| {
            let mut framer = Framer::default();
            let mut count = 0;
            // As a socket gives it.
            for read in stream.chunks(1 << 16) {
                framer.push(read);
                while let Ok(Some(frame)) = framer.next_frame() {
                    count += frame.body.len();
                }
            }
            count
        });
    });
    group.finish();
}

fn prefix_list(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("prefix list");
    for count in [10, 10_000] {
        let entries =
            prefixes(Family::Ipv4, count).into_iter().map(|nlri| PrefixEntry::exact(nlri.prefix, true));
        let list = PrefixList::new(entries.collect());
        let query: Prefix = "10.0.9.0/24".parse().expect("a prefix");
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| list.permits(black_box(query)));
        });
    }
    group.finish();
}

criterion_group!(benches, decode, encode, frame, prefix_list);
criterion_main!(benches);
