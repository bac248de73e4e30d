//! The lab tier: real sockets and real packets between nodes, pods and clients on this machine.

mod bad_objects;
mod bulk;
mod cleanup;
mod client_port;
mod cluster;
mod cluster_ip;
mod command_line;
mod ground;
mod hairpin;
mod health;
mod host_network;
mod life;
mod local_pods;
mod manifests;
mod masquerade;
mod netfilter;
mod node_port;
mod node_port_addresses;
mod outside_address;
mod refusal;
mod refused;
mod restart;
mod service_cidr;
mod shape;
mod shop;
mod sockets;
