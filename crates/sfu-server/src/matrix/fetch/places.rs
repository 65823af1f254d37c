//! How many questions are on their way to whom, and who failed a moment ago. So a name that somebody makes up, many
//! times, costs the others little, and is no hammer for a third party.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Refused;
use super::name::ServerName;

/// Questions to one server at once.
const PER_NAME_MAX: usize = 2;
/// Questions to all at once, each with a socket.
const ALL_MAX: usize = 64;
/// A server that failed is not asked again for so long.
const FAILED_FOR: Duration = Duration::from_secs(60);
/// Names of which it is known that they failed. When it is full, the oldest makes room.
const FAILED_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct Places(Mutex<State>);

#[derive(Default)]
struct State {
    in_flight: BTreeMap<String, usize>,
    all: usize,
    failed: BTreeMap<String, Instant>,
}

/// One question on its way.
pub(super) struct Place<'a> {
    places: &'a Places,
    name: String,
    failed: bool,
}

impl Places {
    pub(super) fn enter(&self, name: &ServerName) -> Result<Place<'_>, Refused> {
        let name = format!("{}:{}", name.host.to_text(), name.port.unwrap_or(0));
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.failed.get(&name) {
            Some(at) if now < *at + FAILED_FOR => return Err(Refused::Recently),
            Some(_) => drop(state.failed.remove(&name)),
            None => {}
        }
        let here = state.in_flight.get(&name).copied().unwrap_or(0);
        if here >= PER_NAME_MAX || state.all >= ALL_MAX {
            return Err(Refused::Busy);
        }
        state.in_flight.insert(name.clone(), here + 1);
        state.all += 1;
        Ok(Place { places: self, name, failed: false })
    }
}

impl Place<'_> {
    pub(super) fn has_failed(&mut self) {
        self.failed = true;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.all -= 1;
        if let Some(here) = state.in_flight.get_mut(&self.name) {
            *here -= 1;
            if *here == 0 {
                state.in_flight.remove(&self.name);
            }
        }
        if self.failed {
            if state.failed.len() >= FAILED_MAX {
                let oldest = state.failed.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone());
                oldest.map(|name| state.failed.remove(&name));
            }
            state.failed.insert(std::mem::take(&mut self.name), Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServerName {
        ServerName::parse(text).expect("a name")
    }

    #[tokio::test(start_paused = true)]
    async fn few_at_once_and_none_after_a_failure() {
        let places = Places::default();
        let (a, b) = (name("a.example"), name("b.example"));
        let mut first = places.enter(&a).expect("free");
        let _second = places.enter(&a).expect("free");
        assert_eq!(places.enter(&a).map(|_| ()), Err(Refused::Busy));
        let _other = places.enter(&b).expect("another server");
        first.has_failed();
        drop(first);
        assert_eq!(places.enter(&name("A.example")).map(|_| ()), Err(Refused::Recently));
        tokio::time::advance(FAILED_FOR - Duration::from_millis(1)).await;
        assert_eq!(places.enter(&a).map(|_| ()), Err(Refused::Recently));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(places.enter(&a).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let places = Places::default();
        for n in 0..FAILED_MAX + 10 {
            let name = name(&format!("h{n}.example"));
            places.enter(&name).expect("free").has_failed();
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let state = places.0.lock().expect("no panic");
        assert_eq!((state.failed.len(), state.all, state.in_flight.len()), (FAILED_MAX, 0, 0));
        assert!(!state.failed.contains_key("h0.example:0") && state.failed.contains_key("h1033.example:0"));
    }

    #[tokio::test]
    async fn all_together_are_bounded_too() {
        let places = Places::default();
        let names: Vec<_> = (0..ALL_MAX).map(|n| name(&format!("h{n}.example"))).collect();
        let _held: Vec<_> = names.iter().map(|name| places.enter(name).expect("free")).collect();
        assert_eq!(places.enter(&name("more.example")).map(|_| ()), Err(Refused::Busy));
    }
}
