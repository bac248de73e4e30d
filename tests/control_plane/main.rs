//! The control-plane tier: netproxy against a real etcd and kube-apiserver.

mod fixture;
