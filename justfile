# The menu: `just` alone lists it. All logic is in xtask, so `cargo xtask NAME` does the same without just.

[private]
default:
    @just --list --unsorted

# build every program, static
build *args:
    cargo xtask build {{ args }}

# format, lints, layers, generated code, licences, documentation
check:
    cargo xtask check

# everything that CI runs; `just test --tier unit`, `just test --tier lab two_racks`
test *args:
    cargo xtask test {{ args }}

# a whole network in a minute: 3 nodes, 2 racks, 2 ToRs, 6 pods
demo *args:
    cargo xtask demo {{ args }}

# bgp | bfd | cni | routes | footprint
bench name *args:
    cargo xtask bench {{ name }} {{ args }}

# fuzz targets for a bounded time
fuzz *args:
    cargo xtask fuzz {{ args }}

# generated code
gen:
    cargo xtask gen

# a real Kubernetes with Cairn as its pod network: `just cluster up`, `just cluster down`
cluster *args:
    cargo xtask cluster {{ args }}

# containerlab topologies on network namespaces: `just lab up FILE`, `just lab status`
lab *args:
    cargo xtask lab {{ args }}
