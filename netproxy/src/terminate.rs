//! Ending sockets whose endpoint is gone, in every network namespace of the node.
//!
//! Entering a network namespace takes `CAP_SYS_ADMIN`, seeing other processes' takes the host's pid
//! namespace and `CAP_SYS_PTRACE`. None of it is the agent's: a process of its own does this and
//! nothing else. It reads orders as lines of JSON, answers each with a line, and ends with its input,
//! hence with the agent. All it can be made to do is to end sockets.

mod namespaces;
mod order;
mod privileged;
mod socket_diag;
mod terminator;

pub use self::order::{Doomed, Fate};
pub use self::privileged::serve;
pub use self::terminator::{COMMAND, Terminator, TerminatorError};
