//! Plain numbers for the metrics. Gauges are counted when asked for; counters only ever grow.

/// How much there is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauges {
    /// Sessions, with those that wait for their worker or for their client to resume.
    pub sessions: usize,
    /// Participants that the others know of.
    pub participants: usize,
    pub conferences: usize,
    pub tracks: usize,
    pub subscriptions: usize,
    /// Used token ids that are remembered.
    pub used_tokens: usize,
    /// Removals that are remembered.
    pub denied: usize,
}

/// What happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub joins: u64,
    pub resumes: u64,
    /// Tokens refused: forged, expired, of another focus, used before, and so on.
    pub refused_token: u64,
    /// Joins refused because their holder was removed, or may not begin a conference.
    pub refused_forbidden: u64,
    /// Joins refused because no authoriser is configured.
    pub refused_closed: u64,
    /// Joins refused because nobody answered who could tell whether the holder may still come in.
    pub refused_unconfirmed: u64,
    /// Resumptions refused: unknown or ended session, wrong secret, too often.
    pub refused_resume: u64,
    /// Joins refused because a bound was reached.
    pub refused_full: u64,
    pub refused_draining: u64,
    /// Joins that the worker refused.
    pub refused_engine: u64,
    /// First messages that were not a usable `hello`.
    pub refused_protocol: u64,
    pub left: u64,
    pub lost: u64,
    pub replaced: u64,
    /// Ended by the focus.
    pub removed: u64,
    /// Of those, ended because somebody else ordered it.
    pub kicked: u64,
    pub offers: u64,
    /// Requests of clients that were answered by an error.
    pub errors: u64,
    /// Messages of sockets whose session had ended.
    pub late_messages: u64,
    /// Commands that failed although nobody waits for the answer.
    pub command_failures: u64,
    /// Data-channel messages of peers that are no participants, or whose channel is broken.
    pub data_ignored: u64,
    /// Connections over data channels that were given up because their clients did not read.
    pub slow_channels: u64,
}
