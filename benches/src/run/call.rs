//! People in a call: they join one after another, something is measured for a while, and all leave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::door::Door;
use super::histogram::Histogram;
use super::participant::{self, Shared};
use super::person::Person;
use super::plan::Plan;
use super::report::PersonReport;

/// For the first packets of the last subscriptions.
const SETTLE: Duration = Duration::from_secs(2);
/// For all to leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module.
pub struct Call {
    pub shared: Arc<Shared>,
    pub people: Vec<Arc<Person>>,
    /// Of which person each is.
    lives: Vec<(usize, JoinHandle<()>)>,
    stop: watch::Sender<bool>,
}

impl Call {
    /// `pace`: from one join to the next.
    pub fn start(plan: Plan, door: Arc<dyn Door>, pace: Duration) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared { local: door.local()?, epoch: Instant::now(), stop: stopped, door, plan });
        let mut call = Self { shared, people: Vec::new(), lives: Vec::new(), stop };
        for number in 0..call.shared.plan.people() {
            let person = call.person(number);
            call.live(&person, pace * number as u32);
            call.people.push(person);
        }
        Ok(call)
    }

    fn person(&self, number: usize) -> Arc<Person> {
        let Shared { plan, door, .. } = &*self.shared;
        Arc::new(Person::new(number, plan.name(number), door.crypt(number)))
    }

    fn live(&mut self, person: &Arc<Person>, after: Duration) {
        let at = tokio::time::Instant::now() + after;
        let life = tokio::spawn(participant::live(self.shared.clone(), person.clone(), at));
        self.lives.push((person.number, life));
    }

    /// All lives of the person have ended, and there is nothing left of them.
    #[cfg(feature = "matrix")]
    pub fn is_over(&self, number: usize) -> bool {
        self.lives.iter().filter(|(of, _)| *of == number).all(|(_, life)| life.is_finished())
    }

    /// A new life of a person whose last one has ended.
    #[cfg(feature = "matrix")]
    pub fn again(&mut self, number: usize) -> Arc<Person> {
        let person = self.person(number);
        self.live(&person, Duration::ZERO);
        self.people[number] = person.clone();
        person
    }

    /// All have got in, or have failed to.
    pub async fn joined(&self) {
        while !self.people.iter().all(|person| person.record().is_settled()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(SETTLE).await;
    }

    /// The measured window begins.
    pub fn begin(&self) -> Instant {
        let now = Instant::now();
        self.people.iter().for_each(|person| person.record().begin(now));
        now
    }

    /// It has ended: what each had of it, and the latency of all.
    pub fn finish(&self, began: Instant, ended: Instant) -> (Vec<PersonReport>, Histogram) {
        let plan = &self.shared.plan;
        let joined: Vec<bool> = self.people.iter().map(|person| person.record().connected_at.is_some()).collect();
        let mut latency = Histogram::default();
        let people = self.people.iter().map(|person| {
            let mut record = person.record();
            let window = record.end(ended, ended - began);
            latency.merge(&window.latency);
            let streams = streams(plan, person.number, &joined);
            PersonReport::new(plan, person, &record, &window, streams)
        });
        (people.collect(), latency)
    }

    /// All leave.
    pub async fn end(self) {
        let _ = self.stop.send(true);
        let all = async {
            for (_, life) in self.lives {
                let _ = life.await;
            }
        };
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, all).await;
    }
}

/// Subscriptions that a participant should have, given who is there.
fn streams(plan: &Plan, person: usize, joined: &[bool]) -> usize {
    let there = |seat: usize| joined[seat * plan.rooms + plan.room(person)];
    match joined[person] {
        true => plan.wanted(plan.seat(person)).into_iter().filter(|(seat, _)| there(*seat)).count(),
        false => 0,
    }
}
