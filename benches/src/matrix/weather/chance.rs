//! What becomes of one message after the other.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::cli::WeatherArgs;

/// Late enough to be overtaken by what is sent again.
const DELAY_MS: std::ops::Range<u64> = 100..1500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Passed,
    Lost,
    Delayed(Duration),
    /// Passed, and again after that.
    Repeated(Duration),
}

/// Of one member, in one direction.
#[derive(Debug)]
pub struct Chance {
    rng: StdRng,
    args: WeatherArgs,
}

impl Chance {
    pub fn new(args: &WeatherArgs, member: usize, direction: u64) -> Self {
        let seed = args.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ((member as u64) << 1 | direction);
        Self { rng: StdRng::seed_from_u64(seed), args: args.clone() }
    }

    pub fn next(&mut self) -> Fate {
        let [lost, delayed, repeated] = std::array::from_fn(|_| self.rng.random_range(0.0..1.0));
        let after = Duration::from_millis(self.rng.random_range(DELAY_MS));
        match self.args {
            WeatherArgs { loss, .. } if lost < loss => Fate::Lost,
            WeatherArgs { reorder, .. } if delayed < reorder => Fate::Delayed(after),
            WeatherArgs { replay, .. } if repeated < replay => Fate::Repeated(after),
            _ => Fate::Passed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_weather_at_the_wanted_rates() {
        let args = WeatherArgs { loss: 0.2, reorder: 0.3, replay: 0.1, seed: 7 };
        let fates = |seed, member| -> Vec<Fate> {
            let mut chance = Chance::new(&WeatherArgs { seed, ..args.clone() }, member, 0);
            (0..1000).map(|_| chance.next()).collect()
        };
        let first = fates(7, 1);
        assert_eq!(first, fates(7, 1));
        assert!(first != fates(8, 1) && first != fates(7, 2));
        let share = |of: fn(&Fate) -> bool| first.iter().filter(|fate| of(fate)).count();
        assert!((160..240).contains(&share(|fate| *fate == Fate::Lost)));
        assert!((190..290).contains(&share(|fate| matches!(fate, Fate::Delayed(_)))));
        assert!((30..90).contains(&share(|fate| matches!(fate, Fate::Repeated(_)))));
    }
}
