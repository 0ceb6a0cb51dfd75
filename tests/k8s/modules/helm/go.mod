// What installs the chart.
module cairn.network/tests/k8s/helm

go 1.26.0

require helm.sh/helm/v4 v4.3.2
