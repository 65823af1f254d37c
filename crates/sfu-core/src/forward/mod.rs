//! From a track's packets to one subscriber's stream: which layer, and under which numbers.

pub mod rewriter;
pub mod ring;
pub mod selector;
