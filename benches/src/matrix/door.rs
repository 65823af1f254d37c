//! The way into a Matrix call: member event, token, and who the participants of the focus are.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use focus_signaling::wire;
use matrix_sdk::ruma::OwnedRoomId;
use matrixrtc::transport::RustSfu;
use matrixrtc::{MemberFormat, Transport};
use tokio::sync::watch;

use super::device::Device;
use super::directory::Directory;
use super::focus::{self, Ask, Way};
use super::post;
use super::setup::Setup;
use crate::cli::{Carriage, MatrixArgs};
use crate::run::crypt::Crypt;
use crate::run::door::{self, Entry};
use crate::run::person::Person;
use crate::run::plan::Plan;
use crate::run::report::{MatrixReport, Spread};
use crate::run::target::Target;
use crate::run::wills::Wills;

/// For the first sync of all devices.
const SYNC_TIMEOUT: Duration = Duration::from_secs(60);

/// See the module.
pub struct Door {
    pub setup: Setup,
    pub directory: Arc<Directory>,
    pub seats: Vec<Seat>,
    ca: Option<PathBuf>,
    by_device: bool,
    ways: Mutex<Vec<Way>>,
}

/// One person's device, room and focus.
pub struct Seat {
    pub device: Device,
    pub room: OwnedRoomId,
    pub focus: RustSfu,
}

impl Door {
    /// Makes the users and the rooms of the plan, and logs all in.
    pub async fn new(plan: &Plan, args: &MatrixArgs, server: Option<&str>, ca: Option<&Path>) -> Result<Self> {
        let setup = Setup::new(args, server, ca).await?;
        let directory = Arc::new(Directory::default());
        let mut accounts = Vec::new();
        for number in 0..plan.people() {
            // Homeservers take turns within a room.
            let account = setup.account(plan.seat(number) + plan.room(number) * plan.participants).await?;
            directory.add(&account.user, number as u32);
            accounts.push(account);
        }
        let mut rooms = Vec::new();
        for room in 0..plan.rooms {
            let members: Vec<_> =
                accounts.iter().enumerate().filter(|(number, _)| plan.room(*number) == room).map(|it| it.1).collect();
            rooms.push(setup.room(&members).await?);
        }
        let mut seats = Vec::new();
        for (number, account) in accounts.into_iter().enumerate() {
            let focus = setup.focus(&account).await?;
            let room = rooms[plan.room(number)].clone();
            let device = Device::start(account, room.clone(), directory.clone(), args.delegate_leave);
            seats.push(Seat { device, room, focus });
        }
        let by_device = args.carriage == Carriage::ToDevice;
        let door = Self { setup, directory, seats, ca: ca.map(Path::to_owned), by_device, ways: Mutex::default() };
        tokio::time::timeout(SYNC_TIMEOUT, door.synced()).await.context("the first sync takes too long")?;
        Ok(door)
    }

    /// All devices have synced once: their keys are there for the others.
    async fn synced(&self) {
        for seat in &self.seats {
            let mut changes = seat.device.changes.clone();
            // They only end with the device.
            let _ = changes.wait_for(|changes| *changes > 0).await;
        }
    }

    /// A token for the seat's call, as one with that member id.
    pub async fn token(&self, seat: &Seat, member_id: &str) -> Result<focus::Token> {
        let ask = Ask { room: &seat.room, slot_id: "m.call#ROOM", member_id };
        focus::token(&seat.device.account, &self.setup.http, &seat.focus, ask).await
    }

    fn came(&self, way: Way) {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner).push(way);
    }

    pub async fn connect(&self, token: focus::Token) -> Result<Entry> {
        let target = Target::new(&token.url, None, self.ca.as_deref())?;
        Ok(Entry::Socket { stream: target.connect().await?, url: token.url, token: token.token })
    }
}

#[async_trait::async_trait]
impl door::Door for Door {
    fn url(&self) -> String {
        let Some(Seat { focus, .. }) = self.seats.first() else { return String::new() };
        match (&focus.matrix, &focus.url) {
            (Some(address), _) if self.by_device => format!("{} {}", address.user_id, address.device_id),
            (_, url) => url.clone().unwrap_or_default(),
        }
    }

    fn local(&self) -> Result<IpAddr> {
        let Seat { focus, device, .. } = self.seats.first().context("nobody")?;
        // To-device messages do not tell where the focus is.
        let there = if self.by_device { Some(&device.account.api.base) } else { focus.url.as_ref() };
        Target::new(there.context("the focus has no url")?, None, self.ca.as_deref())?.local()
    }

    fn crypt(&self, person: usize) -> Option<Arc<dyn Crypt>> {
        let seat = self.seats.get(person)?;
        Some(seat.device.ring.clone())
    }

    fn wills(&self, person: usize) -> Option<Arc<dyn Wills>> {
        Some(Arc::new(self.seats.get(person)?.device.loan()?))
    }

    async fn enter(&self, person: &Person) -> Result<Entry> {
        let seat = self.seats.get(person.number).context("nobody of that number")?;
        let joined = seat.device.join(Transport::RustSfu(seat.focus.clone())).await?;
        person.record().announced_at = Some(joined.announced_at);
        if self.by_device {
            let address = seat.focus.matrix.as_ref().context("the focus has no Matrix device")?;
            self.came(Way::ToDevice);
            return Ok(Entry::ToDevice(post::open(&seat.device, &seat.room, &joined.member_id, address).await));
        }
        let token = self.token(seat, &joined.member_id).await?;
        self.came(token.way);
        self.connect(token).await
    }

    fn is_by_device(&self) -> bool {
        self.by_device
    }

    fn person(&self, asker: usize, other: &wire::Participant) -> Option<usize> {
        let members = self.seats.get(asker)?.device.members.borrow().clone();
        let member = members.get(other.identity.as_deref()?)?;
        self.directory.person(&member.user).map(|person| person as usize)
    }

    fn news(&self, person: usize) -> Option<watch::Receiver<u64>> {
        Some(self.seats.get(person)?.device.changes.clone())
    }

    async fn left(&self, person: &Person) {
        if let Some(seat) = self.seats.get(person.number) {
            seat.device.leave().await;
        }
    }

    fn matrix(&self, people: &[Arc<Person>]) -> Option<MatrixReport> {
        let counts = self.directory.counts();
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ways.sort();
        ways.dedup();
        let (first, heard) = waits(people);
        Some(MatrixReport {
            homeservers: self.setup.homeservers.iter().map(|homeserver| homeserver.api.base.clone()).collect(),
            member_events: formats(&self.seats),
            access: ways.into_iter().map(|way| way.name().to_owned()).collect(),
            first_frame_ms: Spread::of(first),
            heard_ms: Spread::of(heard),
            member_event_ms: Spread::of(counts.same_ms),
            member_event_across_ms: Spread::of(counts.across_ms),
            leaves_lent: counts.lent,
            keys_sent: counts.sent,
            keys_failed: counts.failed,
            keys_received: counts.received,
            keys_refused: counts.refused,
            keys_asked: counts.asked,
            weather: self.setup.weather.as_ref().map(|weather| weather.counts()),
        })
    }
}

/// Of all members, each once.
fn formats(seats: &[Seat]) -> Vec<String> {
    let is_there = |format| seats.iter().any(|seat| seat.device.account.format == format);
    let names = [(MemberFormat::State, "state"), (MemberFormat::Sticky, "sticky")];
    names.into_iter().filter(|(format, _)| is_there(*format)).map(|(_, name)| name.to_owned()).collect()
}

/// From member events to frames, in milliseconds: of each person who found somebody there the first one, and of each pair.
fn waits(people: &[Arc<Person>]) -> (Vec<f64>, Vec<f64>) {
    let announced: Vec<Option<Instant>> = people.iter().map(|person| person.record().announced_at).collect();
    let ms = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1e3;
    let (mut first, mut heard) = (Vec::new(), Vec::new());
    for person in people {
        let record = person.record();
        let Some(own) = record.announced_at else { continue };
        let company = record.first_media_at.filter(|_| record.had_company);
        first.extend(company.map(|at| ms(own, at)));
        for stream in record.streams.values() {
            let other = announced.get(stream.expected.person as usize).copied().flatten();
            heard.extend(stream.first_at.zip(other).map(|(at, other)| ms(own.max(other), at)));
        }
    }
    (first, heard)
}
