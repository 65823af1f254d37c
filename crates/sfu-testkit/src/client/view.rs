//! What a client has been told.

use std::collections::BTreeMap;

use focus_signaling::wire::{
    ErrorBody, Kind, LeaveReason, Participant, ParticipantEvent, Score, ServerMessage, Source, Speaker, Subscription,
    Track, Welcome,
};

#[derive(Debug, Default)]
pub struct View {
    pub welcome: Option<Welcome>,
    pub welcomes: usize,
    pub resumes: usize,
    pub participants: BTreeMap<String, Participant>,
    /// Who left, and why, in order.
    pub left: Vec<(String, LeaveReason)>,
    pub subscriptions: BTreeMap<String, Subscription>,
    pub speakers: Vec<Speaker>,
    pub quality: BTreeMap<String, Score>,
    pub errors: Vec<ErrorBody>,
    pub refused_offers: usize,
    /// Code of the close frame, if the focus closed the socket.
    pub closed: Option<u16>,
    pub ended: Option<String>,
    pub pongs: Vec<u64>,
    /// Everything, in order.
    pub log: Vec<ServerMessage>,
}

impl View {
    pub(super) fn handle_welcome(&mut self, welcome: &Welcome) {
        self.welcomes += 1;
        self.closed = None;
        if welcome.resumed {
            self.resumes += 1;
        } else {
            self.subscriptions.clear();
            self.speakers.clear();
            self.quality.clear();
        }
        self.participants = welcome.participants.iter().map(|p| (p.id.clone(), p.clone())).collect();
        self.welcome = Some(welcome.clone());
    }

    pub(super) fn handle(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Participant(ParticipantEvent::Joined { participant }) => {
                let known = self.participants.insert(participant.id.clone(), participant);
                assert!(known.is_none(), "told twice that {known:?} joined");
            }
            ServerMessage::Participant(ParticipantEvent::Updated { participant }) => {
                let known = self.participants.insert(participant.id.clone(), participant.clone());
                assert!(known.is_some(), "told of a change of the unknown {participant:?}");
            }
            ServerMessage::Participant(ParticipantEvent::Left { id, reason }) => {
                let known = self.participants.remove(&id);
                assert!(known.is_some(), "told that the unknown {id} left");
                self.left.push((id, reason));
            }
            ServerMessage::Subscribed(subscribed) => {
                for subscription in subscribed.tracks {
                    self.subscriptions.insert(subscription.track.clone(), subscription);
                }
            }
            ServerMessage::Mute(mute) => {
                let tracks = self.participants.values_mut().flat_map(|participant| &mut participant.tracks);
                for track in tracks.filter(|track| track.track == mute.track) {
                    track.muted = mute.muted;
                }
            }
            ServerMessage::Speakers(speakers) => self.speakers = speakers.speakers,
            ServerMessage::Quality(quality) => {
                self.quality.extend(quality.participants.into_iter().map(|p| (p.participant, p.score)));
            }
            ServerMessage::Pong(pong) => self.pongs.push(pong.n),
            ServerMessage::Leave(leave) => self.ended = Some(leave.code),
            _ => {}
        }
    }

    /// Own participant id.
    pub fn me(&self) -> &str {
        self.welcome.as_ref().map_or("", |welcome| &welcome.participant)
    }

    pub fn tracks(&self) -> impl Iterator<Item = (&Participant, &Track)> {
        self.participants
            .values()
            .flat_map(|participant| participant.tracks.iter().map(move |track| (participant, track)))
    }

    pub fn track(&self, id: &str) -> Option<&Track> {
        self.tracks().find(|(_, track)| track.track == id).map(|(_, track)| track)
    }

    /// The track of whoever shows this name.
    pub fn track_of(&self, name: &str, source: Source) -> Option<&Track> {
        self.tracks().find(|(who, track)| who.name == name && track.source == source).map(|(_, track)| track)
    }

    pub fn named(&self, name: &str) -> Option<&Participant> {
        self.participants.values().find(|participant| participant.name == name)
    }

    pub fn has_error(&self, errcode: &str) -> bool {
        self.errors.iter().any(|error| error.errcode == errcode)
    }
}

/// Of a source.
pub fn kind_of(source: Source) -> Kind {
    match source {
        Source::Microphone | Source::ScreenAudio => Kind::Audio,
        Source::Camera | Source::Screen => Kind::Video,
    }
}
