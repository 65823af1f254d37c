//! A first look at an offer, before str0m's parser: its bounds, and what each m-line is. Reads only line starts.

use crate::config::Bounds;
use crate::id::{Mid, Rid};
use crate::io::Kind;

/// One m-line of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedLine {
    pub mid: Option<Mid>,
    /// `None`: the data channel.
    pub kind: Option<Kind>,
    /// The offerer sends on it.
    pub sends: bool,
    /// The offerer receives on it.
    pub receives: bool,
    /// Simulcast encodings that the offerer sends, in its order: smallest first (`docs/signalling.md`).
    pub rids: Vec<Rid>,
    /// SSRCs that the offerer names, each with that of its retransmission: for clients that send no MID extension.
    pub ssrcs: Vec<(u32, Option<u32>)>,
}

/// SSRCs that are read of one m-line; without simulcast there is one, and its RTX.
const SSRCS_MAX: usize = 8;

/// Why an offer goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    #[error("longer than {0} bytes")]
    TooLong(usize),
    #[error("more than {0} m-lines")]
    TooManyLines(usize),
    #[error("more than {0} candidates")]
    TooManyCandidates(usize),
    #[error("more than {0} simulcast layers on one m-line")]
    TooManyLayers(usize),
    #[error("more than {0} lines")]
    TooManyAttributes(usize),
    #[error("a line longer than {LINE_BYTES_MAX} bytes")]
    LongLine,
    #[error("an m-line that is neither audio, video nor a data channel")]
    UnknownMedia,
    #[error("a mid or rid that is no short token")]
    BadId,
    #[error("two m-lines with one mid")]
    DuplicateMid,
}

/// Longest line: `a=group:BUNDLE` with 256 mids of 16 bytes has 4.4 KiB.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// Lines of one m-line. Chromium 156 writes 166 for a video slot with all its codecs, and some 30 more where it publishes.
const SECTION_LINES_MAX: usize = 512;

/// Lines for each m-line that an offer may have, on average: 128 slots of each kind have 97. What str0m's parser costs goes
/// by lines (4 µs each where this was measured), so that without this 1 MiB of short ones would take a worker's time from its calls.
const LINES_PER_M_LINE_MAX: usize = 128;

/// Reads the m-lines of an offer.
pub fn scan(sdp: &str, bounds: &Bounds) -> Result<Vec<OfferedLine>, OfferError> {
    if sdp.len() > bounds.sdp_bytes {
        return Err(OfferError::TooLong(bounds.sdp_bytes));
    }
    let mut lines: Vec<OfferedLine> = Vec::new();
    let mut candidates = 0;
    let mut in_section = 0;
    for (number, line) in sdp.lines().enumerate() {
        in_section = if line.starts_with("m=") { 1 } else { in_section + 1 };
        if in_section > SECTION_LINES_MAX {
            return Err(OfferError::TooManyAttributes(SECTION_LINES_MAX));
        }
        let most = LINES_PER_M_LINE_MAX * bounds.m_lines;
        if number >= most {
            return Err(OfferError::TooManyAttributes(most));
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(OfferError::LongLine);
        }
        if let Some(media) = line.strip_prefix("m=") {
            if lines.len() == bounds.m_lines {
                return Err(OfferError::TooManyLines(bounds.m_lines));
            }
            let kind = match media.split(' ').next() {
                Some("audio") => Some(Kind::Audio),
                Some("video") => Some(Kind::Video),
                Some("application") => None,
                _ => return Err(OfferError::UnknownMedia),
            };
            // An absent direction means both (RFC 8866 §6.7).
            lines.push(OfferedLine {
                mid: None,
                kind,
                sends: true,
                receives: true,
                rids: Vec::new(),
                ssrcs: Vec::new(),
            });
            continue;
        }
        let Some(attribute) = line.strip_prefix("a=") else { continue };
        if attribute.starts_with("candidate:") {
            candidates += 1;
            if candidates > bounds.candidates {
                return Err(OfferError::TooManyCandidates(bounds.candidates));
            }
        }
        let Some(current) = lines.last_mut() else { continue };
        let direction = |sends, receives| (sends, receives);
        match attribute {
            "sendrecv" => (current.sends, current.receives) = direction(true, true),
            "sendonly" => (current.sends, current.receives) = direction(true, false),
            "recvonly" => (current.sends, current.receives) = direction(false, true),
            "inactive" => (current.sends, current.receives) = direction(false, false),
            _ => {
                if let Some(mid) = attribute.strip_prefix("mid:") {
                    current.mid = Some(Mid::new(mid).ok_or(OfferError::BadId)?);
                } else if let Some(list) = attribute.strip_prefix("simulcast:") {
                    current.rids = sent_rids(list, bounds)?;
                } else if let Some(source) = attribute.strip_prefix("ssrc:") {
                    note_ssrc(&mut current.ssrcs, source);
                } else if let Some(pair) = attribute.strip_prefix("ssrc-group:FID ") {
                    note_retransmission(&mut current.ssrcs, pair);
                }
            }
        }
    }
    let mut mids: Vec<Mid> = lines.iter().filter_map(|line| line.mid).collect();
    mids.sort_unstable();
    if mids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(OfferError::DuplicateMid);
    }
    Ok(lines)
}

/// `1234 cname:x` (RFC 5576 §4.1); each SSRC comes with several attributes.
fn note_ssrc(ssrcs: &mut Vec<(u32, Option<u32>)>, source: &str) {
    let Some(ssrc) = source.split(' ').next().and_then(|number| number.parse().ok()) else { return };
    let known = ssrcs.iter().any(|(main, rtx)| *main == ssrc || *rtx == Some(ssrc));
    if !known && ssrcs.len() < SSRCS_MAX {
        ssrcs.push((ssrc, None));
    }
}

/// `1234 5678`: the second repairs the first (RFC 5576 §4.2, RFC 4588 §8.8).
fn note_retransmission(ssrcs: &mut Vec<(u32, Option<u32>)>, pair: &str) {
    let mut numbers = pair.split_ascii_whitespace().map(str::parse);
    let (Some(Ok(main)), Some(Ok(rtx))) = (numbers.next(), numbers.next()) else { return };
    ssrcs.retain(|(known, _)| *known != main && *known != rtx);
    if ssrcs.len() < SSRCS_MAX {
        ssrcs.push((main, Some(rtx)));
    }
}

/// The rids behind `send` in `send q;h;f` or `recv x send q;h;f` (RFC 8853 §5.1). Of alternatives (`a,b`) the first
/// counts; `~` marks a paused one.
fn sent_rids(list: &str, bounds: &Bounds) -> Result<Vec<Rid>, OfferError> {
    let mut words = list.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if word != "send" {
            continue;
        }
        let mut rids = Vec::new();
        for alternatives in words.next().unwrap_or_default().split(';') {
            if rids.len() == bounds.layers {
                return Err(OfferError::TooManyLayers(bounds.layers));
            }
            let first = alternatives.split(',').next().unwrap_or_default().trim_start_matches('~');
            rids.push(Rid::new(first).ok_or(OfferError::BadId)?);
        }
        return Ok(rids);
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=sendonly\r\na=rid:q send\r\na=simulcast:send q;~h;f,g\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=recvonly\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:3\r\n";

    #[test]
    fn kinds_directions_and_layers() {
        let lines = scan(OFFER, &Bounds::default()).expect("good");
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[0].kind, lines[0].sends, lines[0].receives), (Some(Kind::Audio), true, false));
        let rids: Vec<&str> = lines[1].rids.iter().map(Rid::as_str).collect();
        assert_eq!(rids, ["q", "h", "f"]);
        assert_eq!((lines[2].sends, lines[2].receives), (false, true));
        assert_eq!(lines[3].kind, None);
    }

    /// Chromium 156, 128 slots of each kind and all its codecs: 740 KiB.
    #[test]
    fn as_many_lines_as_promised_fit() {
        let bounds = Bounds::default();
        let codec = "a=rtcp-fb:96 transport-cc\r\n";
        let section = |mid: usize| {
            let (kind, bytes) = if mid.is_multiple_of(2) { ("video", 4972) } else { ("audio", 938) };
            let head = format!("m={kind} 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{mid}\r\na=recvonly\r\n");
            head.clone() + &codec.repeat((bytes - head.len()).div_ceil(codec.len()))
        };
        let mids: Vec<String> = (0..bounds.m_lines).map(|mid| mid.to_string()).collect();
        let head = format!("v=0\r\na=group:BUNDLE {}\r\n", mids.join(" "));
        let sdp: String = std::iter::once(head).chain((0..bounds.m_lines).map(section)).collect();
        let lines = scan(&sdp, &bounds).expect("that many fit");
        assert_eq!(lines.len(), 256);
        assert!(lines.iter().all(|line| line.receives && !line.sends));
        assert_eq!(scan(&(sdp + &section(256)), &bounds), Err(OfferError::TooManyLines(256)));
    }

    #[test]
    fn lines_are_counted() {
        let (bounds, few) = (Bounds::default(), Bounds { m_lines: 1, ..Bounds::default() });
        let media =
            |mid: usize, lines: usize| format!("m=audio 9 x 1\r\na=mid:{mid}\r\n") + &"a=x\r\n".repeat(lines - 2);
        assert!(scan(&media(0, 512), &bounds).is_ok());
        assert_eq!(scan(&media(0, 513), &bounds), Err(OfferError::TooManyAttributes(512)));
        assert_eq!(scan(&"a=x\r\n".repeat(513), &bounds), Err(OfferError::TooManyAttributes(512)));
        let many: String = (0..64).map(|mid| media(mid, 512)).collect();
        assert!(scan(&many, &bounds).is_ok());
        assert_eq!(scan(&(many + &media(64, 2)), &bounds), Err(OfferError::TooManyAttributes(128 * 256)));
        assert_eq!(scan(&media(0, 129), &few), Err(OfferError::TooManyAttributes(128)));
    }

    #[test]
    fn sources_and_their_retransmissions() {
        let offer = OFFER.replace(
            "a=mid:0\r\n",
            "a=mid:0\r\na=ssrc-group:FID 7 8\r\na=ssrc:7 cname:x\r\na=ssrc:8 cname:x\r\na=ssrc:9 cname:x\r\na=ssrc:z\r\n",
        );
        let lines = scan(&offer, &Bounds::default()).expect("good");
        assert_eq!(lines[0].ssrcs, [(7, Some(8)), (9, None)]);
        assert!(lines[1].ssrcs.is_empty());
    }

    #[test]
    fn bounds_hold() {
        let bounds = Bounds { m_lines: 3, layers: 2, sdp_bytes: 2000, candidates: 1, ..Bounds::default() };
        assert_eq!(scan(OFFER, &bounds), Err(OfferError::TooManyLayers(2)));
        let no_simulcast = OFFER.replace("a=simulcast:send q;~h;f,g\r\n", "");
        assert_eq!(scan(&no_simulcast, &bounds), Err(OfferError::TooManyLines(3)));
        assert_eq!(scan(&"a".repeat(2001), &bounds), Err(OfferError::TooLong(2000)));
        let candidates = "a=candidate:1\r\na=candidate:2\r\n";
        assert_eq!(scan(candidates, &bounds), Err(OfferError::TooManyCandidates(1)));
        assert_eq!(scan("m=text 9 x 1\r\n", &bounds), Err(OfferError::UnknownMedia));
        assert_eq!(scan("m=audio 9 x 1\r\na=mid:\u{e4}\r\n", &bounds), Err(OfferError::BadId));
        let twice = "m=audio 9 x 1\r\na=mid:0\r\nm=audio 9 x 1\r\na=mid:0\r\n";
        assert_eq!(scan(twice, &bounds), Err(OfferError::DuplicateMid));
    }
}
