//! Stories of clients, told to a machine with fake workers, in virtual time.

mod channel;
mod churn;
mod confirm;
mod delegation;
mod drain;
mod join;
mod keys;
mod kick;
mod log;
mod pace;
mod publish;
mod random;
mod resume;
mod status;
mod subscribe;
mod worker;
mod workers;
mod world;
