// The definitions of the Prometheus Operator's resources, by which the control-plane tests let the API server
// judge what the chart renders. Nothing of it is built.
module netproxy.test/control-plane/prometheus-operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
