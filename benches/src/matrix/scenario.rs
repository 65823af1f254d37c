//! What becomes of a call of real Matrix users when something goes on around it. Each scenario ends with one line of JSON.

mod authorise;
mod comeback;
mod hostile;
mod kick;
mod model;

use anyhow::Result;

use crate::cli::Scenario;
use crate::run::plan::{Plan, Profile, Source};

pub async fn run(scenario: &Scenario) -> Result<()> {
    match scenario {
        Scenario::Kick(args) => kick::run(args).await,
        Scenario::Authorise(args) => authorise::run(args).await,
        Scenario::Hostile(args) => hostile::run(args).await,
        Scenario::Comeback(args) => comeback::run(args).await,
    }
}

/// All see and hear all, in one room.
fn plan(participants: u8) -> Plan {
    let sources = vec![Source::Audio, Source::Video];
    Plan { rooms: 1, participants: participants.into(), profile: Profile::Gallery, sources, simulcast: true }
}
