//! How participants get into a conference, and how they know each other there. [`Plain`]: with tokens of a server that runs
//! with `--dev` or whose key we have.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Result;
use focus_signaling::wire;
use tokio::sync::watch;

use super::carriage::Post;
use super::crypt::Crypt;
use super::person::Person;
use super::plan::Plan;
use super::report::MatrixReport;
use super::target::{Stream, Target};
use super::wills::Wills;

/// The way to the server.
pub enum Entry {
    /// Where the WebSocket goes to, and what `hello` carries.
    Socket { stream: Box<dyn Stream>, url: String, token: String },
    /// Only until a data channel is open.
    #[cfg_attr(not(feature = "matrix"), expect(dead_code, reason = "nobody else has such messages"))]
    ToDevice(Post),
}

/// See the module.
#[async_trait::async_trait]
pub trait Door: Send + Sync {
    /// As it is to be shown.
    fn url(&self) -> String;

    /// Our own address on the way to the server.
    fn local(&self) -> Result<IpAddr>;

    /// What encrypts the media of the person of that number.
    fn crypt(&self, _person: usize) -> Option<Arc<dyn Crypt>> {
        None
    }

    /// Nobody has a way to the server but by to-device messages, which negotiate a data channel first and media over it.
    fn is_by_device(&self) -> bool {
        false
    }

    /// Who looks after the person's last will, if the focus shall do it.
    fn wills(&self, _person: usize) -> Option<Arc<dyn Wills>> {
        None
    }

    async fn enter(&self, person: &Person) -> Result<Entry>;

    /// The person behind a participant of the conference that `asker` is in.
    fn person(&self, asker: usize, other: &wire::Participant) -> Option<usize>;

    /// News of who is who there: [`Self::person`] may find people that it did not before.
    fn news(&self, _person: usize) -> Option<watch::Receiver<u64>> {
        None
    }

    /// It has left the conference.
    async fn left(&self, _person: &Person) {}

    /// What the run was like as a Matrix call.
    fn matrix(&self, _people: &[Arc<Person>]) -> Option<MatrixReport> {
        None
    }
}

/// See the module.
pub struct Plain {
    target: Target,
    plan: Plan,
    /// By room.
    conferences: Vec<String>,
}

impl Plain {
    pub fn new(target: Target, plan: Plan) -> Self {
        let run: u64 = rand::random();
        let conferences = (0..plan.rooms).map(|room| format!("bench-{run:016x}-{room}")).collect();
        Self { target, plan, conferences }
    }
}

#[async_trait::async_trait]
impl Door for Plain {
    fn url(&self) -> String {
        self.target.url.clone()
    }

    fn local(&self) -> Result<IpAddr> {
        self.target.local()
    }

    async fn enter(&self, person: &Person) -> Result<Entry> {
        let conference = &self.conferences[self.plan.room(person.number)];
        let access = self.target.access(conference, &person.name).await?;
        let stream = self.target.connect().await?;
        Ok(Entry::Socket { stream, url: self.target.socket_url(&access.url), token: access.token })
    }

    fn person(&self, asker: usize, other: &wire::Participant) -> Option<usize> {
        let seat = self.plan.seat_of(&other.name)?;
        Some(seat * self.plan.rooms + self.plan.room(asker))
    }
}
