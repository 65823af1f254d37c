//! The first look at an offer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sfu_core::{Bounds, sdp};

fuzz_target!(|text: &str| {
    // Tight, so that short inputs reach every bound.
    let tight = Bounds { m_lines: 3, layers: 2, candidates: 2, sdp_bytes: 4096, ..Bounds::default() };
    for bounds in [tight, Bounds::default()] {
        let Ok(lines) = sdp::scan(text, &bounds) else { continue };
        assert!(text.len() <= bounds.sdp_bytes && lines.len() <= bounds.m_lines);
        assert!(lines.iter().all(|line| line.rids.len() <= bounds.layers));
        let mut mids: Vec<_> = lines.iter().filter_map(|line| line.mid).collect();
        mids.sort_unstable();
        assert!(mids.windows(2).all(|pair| pair[0] != pair[1]));
    }
});
