//! The own membership: its event and the last will behind it (`matrixrtc::delayed_leave`), and the own media key.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use focus_signaling::wire::{self, ClientMessage};
use matrix_sdk::reqwest::Method as HttpMethod;
use matrix_sdk::ruma::{DeviceId, OwnedRoomId, RoomVersionId, UserId};
use matrixrtc::delayed_leave::config::Config;
use matrixrtc::delayed_leave::http::{Address, Method, Request};
use matrixrtc::delayed_leave::{Action, Answer, Ask, DelayedLeave, Event, Output, RequestId};
use matrixrtc::event::key_request::KeyRequest;
use matrixrtc::event::own;
use matrixrtc::keys::{self, KeySend, Participant, Sender, SenderConfig, UseKey};
use matrixrtc::{Join, Leave, MemberFormat, MemberKey, Profile, Timestamp, Transport};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;

use super::account::Account;
use super::device::{Joined, wall};
use super::seal::seal;
/// As MSC4143 has it. The one second of deployed clients is too short for keys that pass two busy homeservers.
const USE_DELAY: Duration = Duration::from_secs(5);
/// As deployed clients have it: the focus restarts it a few times an hour.
const LOAN_DELAY: Duration = Duration::from_secs(3600);

/// See the module. What comes out is an [`Effect`].
pub struct Own {
    pub key: MemberKey,
    join: Join,
    format: MemberFormat,
    address: Address,
    machine: DelayedLeave,
    /// When the present join event was first sent.
    announced: Option<(Instant, Timestamp)>,
    sender: Sender,
    rng: StdRng,
    /// Sent to the others already, and used from their times on.
    coming: VecDeque<UseKey>,
    effects: VecDeque<Effect>,
}

/// What is to be done.
pub enum Effect {
    Ask {
        id: RequestId,
        call: Call,
    },
    /// For the focus.
    Lend {
        id: RequestId,
        message: ClientMessage,
    },
    /// The focus looks after the leave.
    Lent,
    /// The member event goes out.
    Announced(Instant),
    /// A key for others.
    Send(KeySend),
    /// The own media are under this key from now on.
    Use(UseKey),
    Joined(Joined),
    Ended {
        refused: bool,
    },
    Wait(Option<Instant>),
}

/// What is heard of the focus.
#[derive(Debug, Clone, Copy)]
pub enum FocusNews {
    Connected,
    Answered {
        request: u64,
        is_held: bool,
    },
    /// It has the leave no longer.
    Lost,
    Disconnected,
}

/// A request to the homeserver.
pub struct Call {
    ask: Ask,
    address: Address,
    /// Of the join.
    content: Value,
    format: MemberFormat,
}

impl Call {
    pub async fn make(self, account: &Account) -> Answer {
        let is_sealed = self.format == MemberFormat::Sticky && matches!(self.ask, Ask::SendJoin { .. });
        let request = if is_sealed {
            match seal(account, &self.address.room_id, &self.address.event_type, &self.content).await {
                Ok(content) => self.ask.to_http(&self.address.encrypted(), &content),
                Err(_) => return Answer::Failed,
            }
        } else {
            self.ask.to_http(&self.address, &self.content)
        };
        let Some(Request { method, path, query, body }) = request else { return Answer::Failed };
        let method = match method {
            Method::Put => HttpMethod::PUT,
            Method::Post => HttpMethod::POST,
        };
        match account.api.raw(method, &path, &query, Some(&body)).await {
            Ok((status, retry_after, body)) => Answer::read(&self.ask, status, retry_after.as_deref(), &body),
            Err(_) => Answer::Failed,
        }
    }
}

impl Own {
    /// Joins over that transport. `is_lent`: the focus shall look after the leave.
    pub fn join(now: Instant, account: &Account, room: &OwnedRoomId, transport: Transport, is_lent: bool) -> Self {
        let member_id = format!("{:032x}", rand::random::<u128>());
        let key = MemberKey { user: account.user.clone(), device: account.device.clone(), member_id };
        let join = Join::new(key.user.clone(), key.device.clone(), key.member_id.clone(), vec![transport]);
        let format = account.format;
        let leave = own::leave(&join, format, Profile::Interop, &RoomVersionId::V12, &Leave::default());
        let address = Address::of(room.clone(), leave);
        let config = Config { loan_delay: is_lent.then_some(LOAN_DELAY), expiry: expiry(format), ..Config::default() };
        let mut machine = DelayedLeave::new(now, config, account.support.clone(), key.member_id.clone());
        machine.join(now);
        let sender = Sender::new(SenderConfig { use_delay: USE_DELAY, ..SenderConfig::default() }, &key);
        let (coming, effects) = (VecDeque::new(), VecDeque::new());
        let rng = StdRng::from_os_rng();
        Self { key, join, format, address, machine, announced: None, sender, rng, coming, effects }
    }

    pub fn leave(&mut self, now: Instant) {
        self.machine.leave(now);
    }

    pub fn handle_answer(&mut self, now: Instant, request: RequestId, answer: Answer) {
        self.machine.handle_answer(now, request, answer);
    }

    pub fn handle_focus(&mut self, now: Instant, news: FocusNews) {
        match news {
            FocusNews::Connected => self.machine.handle_focus_connected(now),
            FocusNews::Answered { request, is_held } => {
                let answer = if is_held { Answer::Done } else { Answer::Forbidden };
                self.machine.handle_answer(now, RequestId(request), answer);
            }
            FocusNews::Lost => self.machine.handle_delegation_lost(now),
            FocusNews::Disconnected => self.machine.handle_focus_lost(now),
        }
    }

    pub fn handle_own_membership(&mut self, now: Instant, present: bool) {
        self.machine.handle_own_membership(now, present);
    }

    /// Somebody wrote over the member event.
    pub fn handle_overwritten(&mut self, now: Instant) {
        self.machine.update(now);
    }

    pub fn handle_members(&mut self, now: Instant, members: &[Participant]) {
        self.sender.handle_members(now, members, &mut self.rng);
    }

    pub fn handle_sent(&mut self, now: Instant, request: RequestId, missed: &[MemberKey]) {
        self.sender.handle_sent(now, request, missed);
    }

    /// A member says that it lacks our key.
    pub fn handle_key_request(&mut self, now: Instant, user: &UserId, device: &DeviceId, request: KeyRequest) {
        if request.to_member_id == self.key.member_id && request.slot == self.join.slot {
            let (user, device) = (user.to_owned(), device.to_owned());
            self.sender.handle_request(now, &MemberKey { user, device, member_id: request.member_id });
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.coming.pop_front_if(|key| key.at <= now) {
            self.effects.push_back(Effect::Use(key));
        }
        self.sender.handle_timeout(now, &mut self.rng);
        self.machine.handle_timeout(now);
    }

    pub fn poll(&mut self, now: Instant) -> Effect {
        loop {
            if let Some(effect) = self.effects.pop_front() {
                return effect;
            }
            let keys_at = match self.sender.poll_output() {
                keys::Output::SendKeys(message) => return Effect::Send(message),
                keys::Output::UseKey(key) if key.at <= now => return Effect::Use(key),
                keys::Output::UseKey(key) => {
                    self.coming.push_back(key);
                    continue;
                }
                keys::Output::Timeout(at) => at,
            };
            match self.machine.poll_output() {
                Output::Ask(Action { request_id, ask }) => self.ask(request_id, ask),
                Output::Event(event) => self.handle_event(now, event),
                Output::Timeout(at, _) => {
                    let use_at = self.coming.front().map(|key| key.at);
                    return Effect::Wait([at, use_at, keys_at].into_iter().flatten().min());
                }
            }
        }
    }

    fn ask(&mut self, id: RequestId, ask: Ask) {
        let content = match ask {
            Ask::SendJoin { fresh, periods, .. } => self.content(fresh, periods),
            _ => Value::Null,
        };
        let effect = match &ask {
            Ask::Delegate { delay_id, delay } => {
                let (delay_id, delay_ms) = (delay_id.as_str().to_owned(), delay.as_millis() as u64);
                let server_name = self.key.user.server_name().to_string();
                let will = wire::DelegateLeave { delay_id, delay_ms, server_name, on_leave: false };
                Effect::Lend { id, message: ClientMessage::DelegateLeave(will) }
            }
            Ask::TakeBack { .. } => Effect::Lend { id, message: ClientMessage::TakeBackLeave(wire::TakeBackLeave {}) },
            _ => {
                let (address, format) = (self.address.clone(), self.format);
                Effect::Ask { id, call: Call { ask, address, content, format } }
            }
        };
        self.effects.push_back(effect);
    }

    fn content(&mut self, fresh: bool, periods: u32) -> Value {
        if fresh {
            let now = Instant::now();
            self.announced = Some((now, wall()));
            self.effects.push_back(Effect::Announced(now));
        }
        self.join.created_at = self.announced.map(|(_, at)| at).filter(|_| !fresh);
        self.join.expires = expiry(self.format) * periods;
        Value::Object(own::join(&self.join, self.format, Profile::Interop, &RoomVersionId::V12).content)
    }

    fn handle_event(&mut self, now: Instant, event: Event) {
        let effect = match event {
            Event::Joined => {
                let Some((announced_at, _)) = self.announced else { return };
                self.sender.start(now, &mut self.rng);
                Effect::Joined(Joined { member_id: self.key.member_id.clone(), announced_at })
            }
            Event::Delegated(true) => Effect::Lent,
            Event::Refused => Effect::Ended { refused: true },
            Event::Left => Effect::Ended { refused: false },
            _ => return,
        };
        self.effects.push_back(effect);
    }
}

/// How long one event counts.
fn expiry(format: MemberFormat) -> Duration {
    match format {
        MemberFormat::State => Config::default().expiry,
        MemberFormat::Sticky => Config::STICKY_EXPIRY,
    }
}
