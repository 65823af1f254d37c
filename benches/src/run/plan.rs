//! Who is in which room, who publishes what, and who wants which of it in which size.

use clap::ValueEnum;
use focus_signaling::wire;

/// What a participant publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Source {
    Audio,
    Video,
    Screen,
}

impl Source {
    pub const ALL: [Self; 3] = [Self::Audio, Self::Video, Self::Screen];

    pub fn wire(self) -> wire::Source {
        match self {
            Self::Audio => wire::Source::Microphone,
            Self::Video => wire::Source::Camera,
            Self::Screen => wire::Source::Screen,
        }
    }

    pub fn of_wire(source: wire::Source) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.wire() == source)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Screen => "screen",
        }
    }

    pub fn is_audio(self) -> bool {
        self == Self::Audio
    }
}

/// What kind of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// All publish; everybody receives everybody else's video as a thumbnail. One in each room shares the screen
    Gallery,
    /// One in each room publishes everything, all others receive it in full size
    Webinar,
    /// All publish audio only
    Audio,
}

impl Profile {
    pub fn name(self) -> &'static str {
        match self {
            Self::Gallery => "gallery",
            Self::Webinar => "webinar",
            Self::Audio => "audio",
        }
    }
}

/// Pixels of a picture in a gallery.
const THUMBNAIL: (u32, u32) = (320, 180);
/// What the server accepts in one offer (docs/signalling.md, "Limits").
const M_LINES_MAX: usize = 256;

/// See the module.
#[derive(Debug, Clone)]
pub struct Plan {
    pub rooms: usize,
    /// In each room.
    pub participants: usize,
    pub profile: Profile,
    pub sources: Vec<Source>,
    /// Cameras send two layers.
    pub simulcast: bool,
}

impl Plan {
    /// `Err`: what is wrong with it, for the one who typed it.
    pub fn check(&self) -> Result<(), String> {
        if self.rooms == 0 || self.participants == 0 {
            return Err("at least one room and one participant".to_owned());
        }
        if self.published(0).is_empty() {
            return Err(format!("nothing to publish: --profile {} with this --publish", self.profile.name()));
        }
        let lines = (0..self.participants.min(2)).map(|seat| self.published(seat).len() + self.slots(seat).len()).max();
        match lines.unwrap_or(0) {
            lines if lines > M_LINES_MAX => {
                Err(format!("a participant would need {lines} m-lines, a server accepts {M_LINES_MAX}"))
            }
            _ => Ok(()),
        }
    }

    pub fn people(&self) -> usize {
        self.rooms * self.participants
    }

    /// People join round robin, so that all rooms fill at the same pace.
    pub fn room(&self, person: usize) -> usize {
        person % self.rooms
    }

    /// Number within the room; 0 is the speaker of a webinar and shares the screen.
    pub fn seat(&self, person: usize) -> usize {
        person / self.rooms
    }

    /// What `seat` publishes, each source once.
    pub fn published(&self, seat: usize) -> Vec<Source> {
        let publishes = |source: &Source| match self.profile {
            Profile::Audio => source.is_audio(),
            Profile::Webinar => seat == 0,
            Profile::Gallery => seat == 0 || *source != Source::Screen,
        };
        Source::ALL.into_iter().filter(|source| self.sources.contains(source)).filter(publishes).collect()
    }

    /// What `seat` is to receive: the seat that publishes it, and the source.
    pub fn wanted(&self, seat: usize) -> Vec<(usize, Source)> {
        let others = (0..self.participants).filter(|other| *other != seat);
        others.flat_map(|other| self.published(other).into_iter().map(move |source| (other, source))).collect()
    }

    /// Receiving m-lines, by what they shall carry.
    pub fn slots(&self, seat: usize) -> Vec<Source> {
        self.wanted(seat).into_iter().map(|(_, source)| source).collect()
    }

    /// Pixels that a receiver asks for; `None` for audio.
    pub fn size(&self, source: Source) -> Option<(u32, u32)> {
        match (source, self.profile) {
            (Source::Audio, _) => None,
            (Source::Video, Profile::Gallery) => Some(THUMBNAIL),
            (Source::Video | Source::Screen, _) => Some((1280, 720)),
        }
    }

    /// The name that `person` shows, from which the others know who it is.
    pub fn name(&self, person: usize) -> String {
        format!("room {} · seat {}", self.room(person) + 1, self.seat(person) + 1)
    }

    /// The seat behind a name of this room.
    pub fn seat_of(&self, name: &str) -> Option<usize> {
        let seat: usize = name.rsplit_once("seat ")?.1.parse().ok()?;
        seat.checked_sub(1).filter(|seat| *seat < self.participants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(profile: Profile, sources: &[Source]) -> Plan {
        Plan { rooms: 2, participants: 4, profile, sources: sources.to_vec(), simulcast: true }
    }

    #[test]
    fn a_gallery_has_all_of_all_and_one_screen() {
        let plan = plan(Profile::Gallery, &Source::ALL);
        assert_eq!(plan.published(0), Source::ALL);
        assert_eq!(plan.published(3), [Source::Audio, Source::Video]);
        assert_eq!(plan.wanted(0).len(), 6, "three others with two sources each");
        assert_eq!(plan.wanted(1).len(), 7, "and the screen");
        assert_eq!(plan.size(Source::Video), Some((320, 180)));
    }

    #[test]
    fn a_webinar_has_one_speaker() {
        let plan = plan(Profile::Webinar, &[Source::Video, Source::Audio, Source::Video]);
        assert_eq!(plan.published(0), [Source::Audio, Source::Video]);
        assert!(plan.published(1).is_empty() && plan.wanted(0).is_empty());
        assert_eq!(plan.wanted(2), [(0, Source::Audio), (0, Source::Video)]);
    }

    #[test]
    fn rooms_fill_round_robin_and_names_lead_back() {
        let plan = plan(Profile::Audio, &Source::ALL);
        assert_eq!((plan.room(5), plan.seat(5)), (1, 2));
        assert_eq!(plan.seat_of(&plan.name(5)), Some(2));
        assert_eq!(plan.seat_of("room 1 · seat 5"), None);
        assert_eq!(plan.seat_of("somebody"), None);
        assert_eq!(plan.published(0), [Source::Audio]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(plan(Profile::Gallery, &Source::ALL).check().is_ok());
        assert!(plan(Profile::Audio, &[Source::Video]).check().is_err());
        assert!(Plan { rooms: 0, ..plan(Profile::Audio, &Source::ALL) }.check().is_err());
        assert!(Plan { participants: 130, ..plan(Profile::Gallery, &Source::ALL) }.check().is_err());
        assert!(Plan { participants: 300, ..plan(Profile::Webinar, &Source::ALL) }.check().is_ok());
    }
}
