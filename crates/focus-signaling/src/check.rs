//! Bounds and forms of single fields, which the types of [`crate::wire`] do not hold.

use std::collections::BTreeSet;

use crate::{errcode::Errcode, limits::*, wire::*};

/// A field that is not as it must be.
#[derive(Debug)]
pub(crate) struct FieldError {
    pub(crate) code: Errcode,
    /// Path below `b`.
    pub(crate) field: String,
    pub(crate) problem: String,
}

type Checked = Result<(), FieldError>;

pub(crate) fn check(message: &ClientMessage, limits: &Limits) -> Checked {
    match message {
        ClientMessage::Hello(hello) => check_hello(hello),
        ClientMessage::Offer(offer) => check_offer(offer, limits),
        ClientMessage::Candidate(candidate) => check_candidate(candidate),
        ClientMessage::Subscribe(subscribe) => check_subscribe(subscribe),
        ClientMessage::Mute(mute) => check_id(&mute.track, || "track".into()),
        ClientMessage::Announce(announce) => check_announce(announce),
        ClientMessage::Keyframe(keyframe) => check_id(&keyframe.track, || "track".into()),
        ClientMessage::DelegateLeave(delegate) => check_delegate(delegate),
        ClientMessage::TakeBackLeave(_) => Ok(()),
        ClientMessage::Ping(ping) => check_integer(ping.n, "n"),
        ClientMessage::Leave(leave) => check_leave(leave),
    }
}

fn check_hello(hello: &Hello) -> Checked {
    if hello.v != VERSION {
        let problem = format!("version {} is not spoken here, only {VERSION}", hello.v);
        return Err(FieldError { code: Errcode::Unrecognized, field: "v".into(), problem });
    }
    // Neither: over to-device messages the sender takes the token's place; elsewhere `Connection` refuses it.
    if hello.token.is_some() && hello.resume.is_some() {
        return bad("token".into(), "no more than one of token and resume");
    }
    if let Some(token) = &hello.token {
        check_form(token, TOKEN_BYTES_MAX, is_token_char, || "token".into())?;
    }
    if let Some(resume) = &hello.resume {
        check_id(&resume.session, || "resume.session".into())?;
        check_form(&resume.secret, SECRET_BYTES_MAX, is_token_char, || "resume.secret".into())?;
    }
    if let Some(client) = &hello.client {
        check_text(client, CLIENT_BYTES_MAX, "client")?;
    }
    Ok(())
}

fn check_offer(offer: &Offer, limits: &Limits) -> Checked {
    check_length(offer.sdp.len(), SDP_BYTES_MAX, "bytes", || "sdp".into())?;
    let m_lines = offer.sdp.split('\n').filter(|line| line.starts_with("m=")).count();
    check_length(m_lines, limits.m_lines, "m-lines", || "sdp".into())?;
    check_integer(offer.seq, "seq")?;
    check_length(offer.tracks.len(), limits.published_tracks, "tracks", || "tracks".into())?;
    let mut mids = BTreeSet::new();
    for (i, track) in offer.tracks.iter().enumerate() {
        check_mid(&track.mid, || format!("tracks[{i}].mid"))?;
        if !mids.insert(&track.mid) {
            return bad(format!("tracks[{i}].mid"), "named twice");
        }
        if let Some(enc) = &track.enc {
            check_form(&enc.format, FORMAT_BYTES_MAX, is_token_char, || format!("tracks[{i}].enc.format"))?;
        }
        check_number(track.width, DIMENSION_MAX, || format!("tracks[{i}].width"))?;
        check_number(track.height, DIMENSION_MAX, || format!("tracks[{i}].height"))?;
    }
    Ok(())
}

fn check_candidate(Candidate { candidate }: &Candidate) -> Checked {
    check_text(candidate, CANDIDATE_BYTES_MAX, "candidate")?;
    if !candidate.is_empty() && !candidate.starts_with("candidate:") {
        return bad("candidate".into(), "must begin with candidate: or be empty");
    }
    Ok(())
}

fn check_subscribe(subscribe: &Subscribe) -> Checked {
    check_length(subscribe.tracks.len(), WANTS_MAX, "wants", || "tracks".into())?;
    let (mut tracks, mut mids) = (BTreeSet::new(), BTreeSet::new());
    for (i, want) in subscribe.tracks.iter().enumerate() {
        check_id(&want.track, || format!("tracks[{i}].track"))?;
        if !tracks.insert(&want.track) {
            return bad(format!("tracks[{i}].track"), "named twice");
        }
        match &want.mid {
            Some(mid) => {
                check_mid(mid, || format!("tracks[{i}].mid"))?;
                if !want.off && !mids.insert(mid) {
                    return bad(format!("tracks[{i}].mid"), "named twice");
                }
            }
            None if want.off => {}
            None => return bad(format!("tracks[{i}].mid"), "missing, and the want is not off"),
        }
        check_number(want.width, DIMENSION_MAX, || format!("tracks[{i}].width"))?;
        check_number(want.height, DIMENSION_MAX, || format!("tracks[{i}].height"))?;
        check_number(want.fps, FPS_MAX, || format!("tracks[{i}].fps"))?;
    }
    Ok(())
}

fn check_announce(announce: &Announce) -> Checked {
    check_length(announce.keys.len(), KEYS_MAX, "keys", || "keys".into())?;
    for (i, key) in announce.keys.iter().enumerate() {
        if !is_salt(&key.salt) {
            return bad(format!("keys[{i}].salt"), "must be 16 bytes as base64url without padding");
        }
    }
    Ok(())
}

fn check_leave(leave: &Leave) -> Checked {
    check_form(&leave.code, LEAVE_CODE_BYTES_MAX, is_token_char, || "code".into())?;
    match &leave.reason {
        Some(reason) => check_text(reason, LEAVE_REASON_BYTES_MAX, "reason"),
        None => Ok(()),
    }
}

fn check_id(id: &str, field: impl Fn() -> String) -> Checked {
    check_form(id, ID_BYTES_MAX, is_token_char, field)
}

fn check_mid(mid: &str, field: impl Fn() -> String) -> Checked {
    check_form(mid, MID_BYTES_MAX, is_token_char, field)
}

/// Not empty, not longer than `max`, and only of these bytes.
fn check_form(value: &str, max: usize, is_legal: fn(u8) -> bool, field: impl Fn() -> String) -> Checked {
    check_length(value.len(), max, "bytes", &field)?;
    if value.is_empty() {
        return bad(field(), "empty");
    }
    if !value.bytes().all(is_legal) {
        return bad(field(), "has a character that is not allowed");
    }
    Ok(())
}

/// Free text: may be empty, has no control characters, which would forge lines in an SDP or a log.
fn check_text(value: &str, max: usize, field: &str) -> Checked {
    check_length(value.len(), max, "bytes", || field.into())?;
    if value.chars().any(char::is_control) {
        return bad(field.into(), "has a control character");
    }
    Ok(())
}

fn check_delegate(delegate: &DelegateLeave) -> Checked {
    // Opaque to everybody but the homeserver that made it; those that exist make a word of some 30 letters.
    let visible = |byte: u8| byte.is_ascii_graphic();
    check_form(&delegate.delay_id, DELAY_ID_BYTES_MAX, visible, || "delay_id".into())?;
    check_form(&delegate.server_name, SERVER_NAME_BYTES_MAX, visible, || "server_name".into())?;
    check_integer(delegate.delay_ms, "delay_ms")
}

fn check_length(length: usize, max: usize, unit: &str, field: impl Fn() -> String) -> Checked {
    if length <= max {
        return Ok(());
    }
    let problem = format!("{length} {unit}, at most {max} are allowed");
    Err(FieldError { code: Errcode::TooLarge, field: field(), problem })
}

fn check_number(value: Option<u32>, max: u32, field: impl Fn() -> String) -> Checked {
    match value.filter(|value| *value > max) {
        Some(value) => bad(field(), &format!("{value} is larger than {max}")),
        None => Ok(()),
    }
}

fn check_integer(value: u64, field: &str) -> Checked {
    if value <= INTEGER_MAX { Ok(()) } else { bad(field.into(), "larger than 2^53 - 1") }
}

fn bad(field: String, problem: &str) -> Checked {
    Err(FieldError { code: Errcode::BadJson, field, problem: problem.into() })
}

/// The characters of an SDP `token` (RFC 8866 §9), which a mid is one of (RFC 5888 §4). JWTs and our ids are, too.
fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&byte)
}

/// The last of the 22 characters holds two bits of the sixteenth byte; the other four must be zero.
fn is_salt(salt: &str) -> bool {
    salt.len() == SALT_CHARS
        && salt.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && salt.ends_with(['A', 'Q', 'g', 'w'])
}
