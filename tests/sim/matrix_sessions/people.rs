//! Clients: each with a session of its own, a focus of its homeserver, and a mind of its own.

use std::time::{Duration, Instant};

use matrixrtc::event::{legacy_member, member};
use matrixrtc::mesh::{self, Topology};
use matrixrtc::ruma::{OwnedDeviceId, RoomVersionId, UserId};
use matrixrtc::session::{Options, Output};
use matrixrtc::{
    Change, Join, Leave, LeftReason, Membership, Outgoing, Profile, RoomEvent, Session, Timestamp, Transport,
};
use serde_json::{Map, json};

use super::federation::{EPOCH, Federation, Given, Sending};

/// What a client is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Build {
    /// `rust_sfu` and `full_mesh`.
    Ours(Profile),
    /// A client of today.
    Livekit,
    /// Both.
    Both,
}

pub(super) struct Client {
    pub(super) server: usize,
    pub(super) user: String,
    device: String,
    build: Build,
    pub(super) is_sticky: bool,
    expires: Duration,
    skew_ms: u64,
    start: Instant,
    pub(super) session: Session,
    /// What it is a member as. `None`: it is none, or has crashed.
    pub(super) joined: Option<Join>,
    /// What it was when it was one last.
    last: Option<Join>,
    /// Crashed: it neither hears nor says anything.
    pub(super) is_dead: bool,
    /// Until when others see it though it crashed.
    pub(super) ghost_until: Option<(Join, u64)>,
    will: Option<u64>,
    joins: u32,
    renewed_at: u64,
}

impl Client {
    pub(super) fn new(f: &mut Federation, start: Instant, server: usize, user: String, ordinal: usize) -> Self {
        let random = &mut f.random;
        let build = match random.below(6) {
            0 => Build::Livekit,
            1 => Build::Both,
            2 => Build::Ours(Profile::Pure),
            _ => Build::Ours(Profile::Interop),
        };
        let is_sticky = random.below(2) == 0;
        let expires = Duration::from_secs(if random.below(3) == 0 { 60 } else { 3_600 });
        let skew_ms = random.below(4_000);
        f.add_client(server);
        let device = format!("DEV{ordinal}");
        let session = Self::session(&user, &device, start, f.now, skew_ms);
        Self {
            server,
            user,
            device,
            build,
            is_sticky,
            expires,
            skew_ms,
            start,
            session,
            joined: None,
            last: None,
            is_dead: false,
            ghost_until: None,
            will: None,
            joins: 0,
            renewed_at: 0,
        }
    }

    fn session(user: &str, device: &str, start: Instant, now: u64, skew_ms: u64) -> Session {
        let own = UserId::parse(user).ok().map(|user| (user, OwnedDeviceId::from(device)));
        let options = Options { own, ..Options::default() };
        Session::new(options, start + Duration::from_millis(now), Timestamp::from_millis(EPOCH + now + skew_ms))
    }

    pub(super) fn wall(&self, now: u64) -> Timestamp {
        Timestamp::from_millis(EPOCH + now + self.skew_ms)
    }

    fn instant(&self, now: u64) -> Instant {
        self.start + Duration::from_millis(now)
    }

    /// A session as of one who starts now, from what the server has.
    pub(super) fn fresh_session(&self, f: &mut Federation) -> Session {
        let mut session = Self::session(&self.user, &self.device, self.start, f.now, self.skew_ms);
        for given in f.snapshot(self.server) {
            session.handle_event(self.instant(f.now), &parse(&given));
        }
        session
    }

    pub(super) fn restart(&mut self, f: &mut Federation) {
        self.session = self.fresh_session(f);
        (self.is_dead, self.ghost_until) = (false, None);
        self.settle(f);
    }

    pub(super) fn hear(&mut self, f: &mut Federation, given: &Given) {
        if !self.is_dead {
            self.session.handle_event(self.instant(f.now), &parse(given));
            self.settle(f);
        }
    }

    pub(super) fn wake(&mut self, f: &mut Federation) {
        if !self.is_dead {
            self.session.handle_timeout(self.instant(f.now));
            self.settle(f);
            let is_due = f.now >= self.renewed_at + self.expires.as_millis() as u64 / 2;
            if self.joined.is_some() && is_due && !f.is_over {
                self.say(f);
            }
        }
    }

    pub(super) fn join(&mut self, f: &mut Federation) {
        if self.joined.is_some() || self.is_dead {
            return;
        }
        self.joins += 1;
        let sfu = json!({"type": "rust_sfu", "version": 1, "url": format!("wss://sfu.hs{}.org/rtc/v1", self.server),
            "sfu_id": format!("focus{}", self.server)});
        let livekit = json!({"type": "livekit", "livekit_service_url": format!("https://lk.hs{}.org", self.server),
            "livekit_alias": "!room:hs0.org"});
        let mesh = json!({"type": "full_mesh"});
        let transports = match self.build {
            Build::Ours(_) => vec![sfu, mesh],
            Build::Livekit => vec![livekit],
            Build::Both => vec![livekit, sfu, mesh],
        };
        let transports = transports.iter().map(|transport| Transport::parse(transport).expect("a transport")).collect();
        let user = UserId::parse(&self.user).expect("a user id");
        let member_id = format!("{}-{}", self.device, self.joins);
        let join = Join::new(user, OwnedDeviceId::from(self.device.as_str()), member_id, transports);
        self.joined = Some(Join { expires: self.expires, ..join });
        self.ghost_until = None;
        self.say(f);
    }

    /// Says that it is there, for the first time or again.
    fn say(&mut self, f: &mut Federation) {
        self.renewed_at = f.now;
        let Some(join) = &mut self.joined else { return };
        let profile = if let Build::Ours(profile) = self.build { profile } else { Profile::Interop };
        let mut outgoing = if self.is_sticky {
            let sticky = Some(join.expires);
            Outgoing { sticky, ..member::join(join, profile) }
        } else {
            legacy_member::join(join, profile, &RoomVersionId::V11)
        };
        if !self.is_sticky
            && let Some(created) = join.created_at
        {
            let age = (EPOCH + f.now).saturating_sub(created.as_millis());
            outgoing.content.insert("expires".to_owned(), json!(age + join.expires.as_millis() as u64));
        }
        // A client knows when it joined once its event has come back; here, at once.
        join.created_at.get_or_insert(Timestamp::from_millis(EPOCH + f.now));
        self.send(f, outgoing);
    }

    pub(super) fn leave(&mut self, f: &mut Federation) {
        if let Some(join) = self.joined.take() {
            self.send(f, self.leave_of(&join));
            self.last = Some(join);
        }
    }

    fn leave_of(&self, join: &Join) -> Outgoing {
        if self.is_sticky {
            let sticky = Some(join.expires);
            return Outgoing { sticky, ..member::leave(join, Profile::Interop, &Leave::default()) };
        }
        let state_key = legacy_member::state_key(&RoomVersionId::V11, &join.user, &join.device, &join.slot);
        let content: Map<_, _> = legacy_member::leave(&Leave::default());
        Outgoing { kind: legacy_member::TYPE, state_key: Some(state_key), content, sticky: None }
    }

    /// Dies, with a last will at its server or without.
    pub(super) fn crash(&mut self, f: &mut Federation, has_will: bool) {
        let Some(join) = self.joined.take() else { return };
        self.is_dead = true;
        let until = if has_will {
            let sending = self.sending(self.leave_of(&join));
            self.will = Some(f.leave_will(self.server, sending, 10_000));
            f.now + 10_000
        } else {
            self.renewed_at + join.expires.as_millis() as u64
        };
        self.ghost_until = Some((join, until));
    }

    /// Comes back after a crash, and takes back its last will.
    pub(super) fn come_back(&mut self, f: &mut Federation) {
        if let Some(will) = self.will.take() {
            f.cancel_will(will);
        }
        let ghost = self.ghost_until.take();
        self.restart(f);
        // What it was before it died is over, whether or not that was said in the meantime.
        if let Some((join, _)) = ghost {
            let outgoing = self.leave_of(&join);
            self.send(f, outgoing);
        }
    }

    fn send(&self, f: &mut Federation, outgoing: Outgoing) {
        f.send(self.server, self.sending(outgoing));
    }

    fn sending(&self, outgoing: Outgoing) -> Sending {
        Sending {
            kind: outgoing.kind.to_owned(),
            sender: self.user.clone(),
            state_key: outgoing.state_key,
            content: outgoing.content,
            sticky_ms: outgoing.sticky.map(|duration| duration.as_millis() as u64),
            encrypted_by: self.is_sticky.then(|| self.device.clone()),
        }
    }

    /// Does what its session says.
    fn settle(&mut self, f: &mut Federation) {
        loop {
            match self.session.poll_output() {
                Output::Changed(Change::Left { membership, reason, .. }) => {
                    let is_mine = |join: &Join| join.member_id == membership.key.member_id;
                    if self.joined.as_ref().is_some_and(is_mine) && membership.key.user == self.user {
                        match reason {
                            // Sent away: it says so itself as well, for what is redacted may have an elder brother.
                            LeftReason::Redacted | LeftReason::NotInRoom | LeftReason::SlotClosed => self.leave(f),
                            _ => {}
                        }
                    }
                }
                Output::Overwritten if self.joined.is_some() => self.say(f),
                Output::Overwritten => {
                    if let Some(join) = &self.last {
                        self.send(f, self.leave_of(join));
                    }
                }
                Output::Timeout(_) => return,
                _ => {}
            }
        }
    }

    /// Who is there and what they publish to, as this client sees it.
    pub(super) fn view(&self, session: &Session) -> Vec<String> {
        let told = |m: &&Membership| {
            let kinds: Vec<_> = m.transports.iter().map(Transport::to_json).collect();
            let key = &m.key;
            format!("{} {} {} {} {} {kinds:?}", key.user, key.device, key.member_id, m.event_id, m.created_at)
        };
        session.members().iter().map(told).collect()
    }

    pub(super) fn topology(&self, now: u64) -> Topology {
        mesh::decide(&self.session.members(), self.session.last_left_at(), self.wall(now))
    }
}

pub(super) fn parse(given: &Given) -> RoomEvent {
    let mut event = RoomEvent::from_json(&given.event).expect("an event");
    event.encrypted_by = given.encrypted_by.as_deref().map(OwnedDeviceId::from);
    event
}
