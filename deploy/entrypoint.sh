#!/bin/sh
# What a container of the node image runs.
#
#   cairn-entrypoint            a cluster's node: bgpd and felix-lite
#   cairn-entrypoint router     a router: bgpd alone, with /etc/cairn/bgpd.yaml, which writes its routes to the kernel
#
# Each daemon is started again when it ends: forwarding goes on meanwhile, so that neither takes the other nor the node down.
# SIGTERM ends all. If CAIRN_SEED names directories below /etc/cairn/seed, their objects are copied into an empty store once.
set -eu

objects=/etc/cairn/objects
daemons=""

# Copies the objects; of several nodes that share a store, the first does it, and the others wait for it.
seed() {
	mkdir -p "$objects"
	if mkdir "$objects/.seeding" 2>/dev/null; then
		for part in $CAIRN_SEED; do
			cp -RL "/etc/cairn/seed/$part/." "$objects/"
		done
		: >"$objects/.seeded"
	fi
	until [ -e "$objects/.seeded" ]; do sleep 0.05; done
}

# Runs a daemon for as long as this script lives.
keep() {
	stopping=""
	trap 'stopping=yes; [ -z "${child:-}" ] || kill "$child" 2>/dev/null || true' TERM
	while [ -z "$stopping" ]; do
		"$@" &
		child=$!
		code=0
		wait "$child" || code=$?
		[ -n "$stopping" ] || { echo "cairn-entrypoint: $1 ended with code $code, starting it again" >&2; sleep 1; }
	done
	wait "$child" || true
}

stop() {
	# Unquoted on purpose: a list of process numbers.
	# shellcheck disable=SC2086
	kill $daemons 2>/dev/null || true
}

# Metrics of bgpd, unless the environment or its document says otherwise; empty: none.
export BGPD_METRICS="${BGPD_METRICS-0.0.0.0:9179}"
[ -n "$BGPD_METRICS" ] || unset BGPD_METRICS

trap stop TERM INT
mkdir -p /run/cairn /var/lib/cairn
case "${1:-node}" in
node)
	if [ -n "${CAIRN_SEED:-}" ]; then seed; fi
	keep bgpd &
	daemons=$!
	keep felix-lite &
	daemons="$daemons $!"
	;;
router)
	keep bgpd --install-routes --config /etc/cairn/bgpd.yaml &
	daemons=$!
	;;
*)
	echo "cairn-entrypoint: unknown role '$1'; roles are: node, router" >&2
	exit 2
	;;
esac
for daemon in $daemons; do
	# A trapped signal ends the first wait early; the second one waits for the end.
	wait "$daemon" || wait "$daemon" || true
done
