//! The control-plane tier: netproxy against a real etcd and kube-apiserver. Objects are made with
//! kubectl, EndpointSlices by the real controller from Pods, and what counts is what packets do.

mod agents;
mod chart;
mod cluster;
mod components;
mod events;
mod hand_over;
mod kind;
mod life;
mod metrics;
mod observability;
mod opt_out;
mod outages;
mod services;
mod traffic;
