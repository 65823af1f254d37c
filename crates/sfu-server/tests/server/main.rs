//! The server from outside: a node in this process on ports that the system chooses, and once the built binary itself.
//! Nothing here sleeps; whatever is waited for has a deadline.

mod harness;

mod delegation;
mod draining;
mod http;
mod limits;
mod matrix;
mod media;
mod process;
mod signalling;
mod tls;
