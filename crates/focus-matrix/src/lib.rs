//! What the focus has to do with Matrix: which users may call here and for how long, and the "last wills" that they
//! delegate to it.
//!
//! Sans-IO: time, answers of homeservers and randomness are arguments, requests are values. It knows Matrix ids and no media;
//! sessions at the focus are `focus-control`'s, and the server carries values between the two.

pub mod authorize;
pub mod delegation;
pub mod inflow;
pub mod opinions;
pub mod quota;
pub mod request;
#[cfg(test)]
mod test_time;
pub mod watch;
