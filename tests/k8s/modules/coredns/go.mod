// The cluster's DNS server.
module cairn.network/tests/k8s/coredns

go 1.25.0

require github.com/coredns/coredns v1.14.7
