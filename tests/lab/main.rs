//! The lab tier: real sockets and real packets between nodes, pods and clients on this machine.

mod ground;
