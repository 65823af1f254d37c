//! Who is in which room, as the homeservers must have it after what was done: the rules of Matrix for private rooms, no more than
//! the scenario needs. Written apart from the focus, which it is to be held against.

use std::collections::BTreeMap;

/// How a user stands to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    #[default]
    Out,
    Invited,
    Joined,
    Banned,
}

/// What somebody does; the moderator is the room's creator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Invite,
    Join,
    Leave,
    Kick,
    Ban,
    Unban,
}

impl Step {
    pub const ALL: [Self; 6] = [Self::Invite, Self::Join, Self::Leave, Self::Kick, Self::Ban, Self::Unban];

    /// What it makes of a standing; `None` if it cannot be done.
    pub fn apply(self, standing: Standing) -> Option<Standing> {
        Some(match (self, standing) {
            (Self::Invite, Standing::Out) => Standing::Invited,
            (Self::Join, Standing::Invited) => Standing::Joined,
            (Self::Leave, Standing::Joined | Standing::Invited) => Standing::Out,
            (Self::Kick, Standing::Joined) => Standing::Out,
            (Self::Ban, Standing::Joined | Standing::Invited | Standing::Out) => Standing::Banned,
            (Self::Unban, Standing::Banned) => Standing::Out,
            _ => return None,
        })
    }
}

/// Standings by user and room.
#[derive(Debug, Clone, Default)]
pub struct Model {
    standings: BTreeMap<(usize, usize), Standing>,
}

impl Model {
    pub fn set(&mut self, user: usize, room: usize, standing: Standing) {
        self.standings.insert((user, room), standing);
    }

    pub fn get(&self, user: usize, room: usize) -> Standing {
        self.standings.get(&(user, room)).copied().unwrap_or_default()
    }

    /// Whether `asker`, who says to be `claimed`, may have a token for the room.
    pub fn allows(&self, asker: usize, claimed: usize, room: usize) -> bool {
        asker == claimed && self.get(asker, room) == Standing::Joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_members_that_are_who_they_say_are_allowed() {
        let mut model = Model::default();
        assert!(!model.allows(0, 0, 0));
        for (step, allowed) in [
            (Step::Invite, false),
            (Step::Join, true),
            (Step::Kick, false),
            (Step::Ban, false),
            (Step::Unban, false),
            (Step::Invite, false),
            (Step::Join, true),
            (Step::Leave, false),
        ] {
            let next = step.apply(model.get(0, 0)).expect("a step that can be done");
            model.set(0, 0, next);
            assert_eq!(model.allows(0, 0, 0), allowed, "{step:?}");
        }
        model.set(0, 0, Standing::Joined);
        assert!(!model.allows(0, 1, 0) && !model.allows(1, 0, 0) && !model.allows(0, 0, 1));
    }

    #[test]
    fn nobody_joins_uninvited_or_banned() {
        assert_eq!(Step::Join.apply(Standing::Out), None);
        assert_eq!(Step::Join.apply(Standing::Banned), None);
        assert_eq!(Step::Invite.apply(Standing::Banned), None);
    }
}
