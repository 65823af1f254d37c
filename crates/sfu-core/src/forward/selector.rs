//! Which layer a subscription gets: a pure function of what is wanted and what there is.

use crate::io::{LayerInfo, Want};

/// A layer that has this share of the wanted pixels is large enough (80 % of each side): the eye does not see it, and the
/// next layer costs four times as much.
const ENOUGH_PIXELS_PERCENT: u64 = 64;

/// Index of the layer to forward; `None` while no layer is active. `layers` are ordered from smallest to largest.
#[must_use]
pub fn choose(want: Want, layers: &[LayerInfo]) -> Option<u8> {
    let active = || layers.iter().enumerate().filter(|(_, layer)| layer.active);
    let wanted = pixels(want.width, want.height);
    let index = if wanted == 0 {
        active().next()
    } else {
        active()
            .find(|(_, layer)| pixels(layer.width, layer.height) * 100 >= wanted * ENOUGH_PIXELS_PERCENT)
            .or_else(|| active().next_back())
    };
    index.and_then(|(index, _)| u8::try_from(index).ok())
}

fn pixels(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(active: [bool; 3]) -> Vec<LayerInfo> {
        [(320, 180), (640, 360), (1280, 720)]
            .into_iter()
            .zip(active)
            .map(|((width, height), active)| LayerInfo { rid: None, width, height, active, bitrate: 0 })
            .collect()
    }

    #[test]
    fn smallest_that_is_large_enough() {
        let all = layers([true; 3]);
        for (width, height, expected) in
            [(0, 0, 0), (100, 50, 0), (320, 180, 0), (390, 220, 0), (640, 360, 1), (1280, 720, 2), (4000, 3000, 2)]
        {
            assert_eq!(choose(Want { width, height, fps: 0 }, &all), Some(expected), "{width}x{height}");
        }
        assert_eq!(choose(Want { width: 360, height: 640, fps: 0 }, &all), Some(1), "turned by a quarter");
    }

    #[test]
    fn what_is_not_sent_is_not_chosen() {
        let want = Want { width: 1280, height: 720, fps: 0 };
        assert_eq!(choose(want, &layers([true, true, false])), Some(1));
        assert_eq!(choose(Want::default(), &layers([false, true, true])), Some(1));
        assert_eq!(choose(want, &layers([false; 3])), None);
        assert_eq!(choose(want, &[]), None);
    }
}
