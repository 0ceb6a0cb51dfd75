#!/bin/sh
# What a container of the node image runs.
#
#   cairn-entrypoint            a cluster's node: bgpd and felix-lite
#   cairn-entrypoint router     a router: bgpd alone, with /etc/cairn/bgpd.yaml, which writes its routes to the kernel
#
# Each daemon is started again when it ends: forwarding goes on meanwhile, so that neither takes the other nor the node down. A bgpd whose
# sessions another one has taken over (bgpd --take-over) is not: that one is watched in its place, and bgpd is started again when it ends.
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

# The bgpd that goes on after a take-over holds the lock of the socket, which it was handed.
socket="${BGPD_SOCKET:-/run/cairn/bgpd.sock}"

# Does the daemon that has just ended go on in another process?
taken_over() {
	[ "$1" = bgpd ] && [ -e "$socket.lock" ] && ! flock --nonblock "$socket.lock" true
}

# Ends that bgpd, by the lock that only it has open.
end_successor() {
	for descriptor in /proc/[0-9]*/fd/*; do
		[ "$descriptor" -ef "$socket.lock" ] || continue
		process="${descriptor#/proc/}"
		kill "${process%%/*}" 2>/dev/null || true
	done
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
		if [ -z "$stopping" ] && taken_over "$1"; then
			echo "cairn-entrypoint: another $1 goes on with the sessions of the one that ended" >&2
			# Has the lock when that one ends.
			flock "$socket.lock" true &
			child=$!
			wait "$child" || true
			code="unknown"
		fi
		[ -n "$stopping" ] || { echo "cairn-entrypoint: $1 ended with code $code, starting it again" >&2; sleep 1; }
	done
	wait "$child" || true
	if taken_over "$1"; then
		end_successor
		flock --timeout 10 "$socket.lock" true || true
	fi
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
