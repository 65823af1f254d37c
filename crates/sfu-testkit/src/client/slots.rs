//! Receiving m-lines, and which track each of them carries.

use focus_signaling::wire::{Kind, Want};

use super::call::Call;
use super::view::View;

#[derive(Debug, Clone)]
pub struct Slot {
    /// The m-line.
    pub line: usize,
    /// Its mid, once an answer agreed to it.
    pub mid: Option<String>,
    pub kind: Kind,
    pub track: Option<String>,
    pub size: Option<(u32, u32)>,
}

#[derive(Debug, Default)]
pub struct Slots {
    pub slots: Vec<Slot>,
    /// Tracks that the client does not want at all.
    unwanted: Vec<String>,
}

impl Slots {
    pub(super) fn add(&mut self, call: &mut Call, (audio, video): (usize, usize)) {
        for (kind, count) in [(Kind::Audio, audio), (Kind::Video, video)] {
            for _ in 0..count {
                let line = call.add_slot(kind);
                self.slots.push(Slot { line, mid: None, kind, track: None, size: None });
            }
        }
    }

    pub(super) fn handle_answer(&mut self, call: &Call) {
        for slot in &mut self.slots {
            slot.mid = call.mid(slot.line).map(|mid| mid.to_string());
        }
    }

    /// Frees the slots of tracks that are no more.
    pub(super) fn free_ended(&mut self, view: &View) {
        for slot in &mut self.slots {
            slot.track.take_if(|track| view.track(track).is_none());
        }
    }

    /// Gives every track that has none a slot; answers what to say, and how many slots are missing (audio, video).
    pub(super) fn assign(&mut self, view: &View, width: u32, height: u32) -> (Vec<Want>, (usize, usize)) {
        let mut wants = Vec::new();
        let mut missing = (0usize, 0usize);
        for (_, track) in view.tracks() {
            let carried = self.slots.iter().any(|slot| slot.track.as_deref() == Some(&track.track));
            if carried || self.unwanted.contains(&track.track) {
                continue;
            }
            let size = (track.kind == Kind::Video).then_some((width, height));
            match self
                .slots
                .iter_mut()
                .find(|slot| slot.kind == track.kind && slot.track.is_none() && slot.mid.is_some())
            {
                Some(slot) => {
                    slot.track = Some(track.track.clone());
                    slot.size = size;
                    wants.push(write(&track.track, slot));
                }
                None if track.kind == Kind::Audio => missing.0 += 1,
                None => missing.1 += 1,
            }
        }
        let coming = |kind| self.slots.iter().filter(|slot| slot.kind == kind && slot.mid.is_none()).count();
        missing = (missing.0.saturating_sub(coming(Kind::Audio)), missing.1.saturating_sub(coming(Kind::Video)));
        (wants, missing)
    }

    pub(super) fn wants(&self) -> Vec<Want> {
        self.slots.iter().filter_map(|slot| Some(write(slot.track.as_ref()?, slot))).collect()
    }

    pub(super) fn want(&mut self, track: &str, size: Option<(u32, u32)>) -> Want {
        let carried = self.slots.iter_mut().find(|slot| slot.track.as_deref() == Some(track));
        match (carried, size) {
            (Some(slot), Some(size)) => {
                slot.size = Some(size);
                write(track, slot)
            }
            (carried, _) => {
                if let Some(slot) = carried {
                    slot.track = None;
                }
                self.unwanted.push(track.to_owned());
                Want { track: track.to_owned(), mid: None, width: None, height: None, fps: None, off: true }
            }
        }
    }

    pub(super) fn show(&mut self, slot: usize, track: &str, size: Option<(u32, u32)>) -> Want {
        self.unwanted.retain(|unwanted| unwanted != track);
        for other in self.slots.iter_mut().filter(|slot| slot.track.as_deref() == Some(track)) {
            other.track = None;
        }
        let slot = &mut self.slots[slot];
        if let Some(before) = slot.track.replace(track.to_owned()) {
            self.unwanted.push(before);
        }
        slot.size = size;
        write(track, slot)
    }

    pub(super) fn track_on(&self, line: usize) -> Option<String> {
        self.slots.iter().find(|slot| slot.line == line).and_then(|slot| slot.track.clone())
    }

    /// The first m-line of a kind that has been agreed on.
    pub fn first(&self, kind: Kind) -> usize {
        self.slots
            .iter()
            .position(|slot| slot.kind == kind && slot.mid.is_some())
            .unwrap_or_else(|| panic!("no {kind:?} slot"))
    }
}

fn write(track: &str, slot: &Slot) -> Want {
    Want {
        track: track.to_owned(),
        mid: slot.mid.clone(),
        width: slot.size.map(|(width, _)| width),
        height: slot.size.map(|(_, height)| height),
        fps: None,
        off: false,
    }
}
