use super::*;
use crate::Envelope;
use crate::limits::{MESSAGE_BYTES_MAX, SILENCE_TIMEOUT};

/// Unit tests need one instant to count from.
#[expect(clippy::disallowed_methods, reason = "the only clock read; all other times are relative to it")]
fn epoch() -> Instant {
    Instant::now()
}

const HELLO: &str = r#"{"t":"hello","id":1,"b":{"v":1,"resume":{"session":"s","secret":"x"}}}"#;
const PING: &str = r#"{"t":"ping","id":2,"b":{"n":5}}"#;

fn put_together(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Result<Option<Frame>, FrameError>> {
    let mut assembly = Assembly::new(MESSAGE_BYTES_MAX);
    frames.into_iter().map(|frame| assembly.handle_data(&frame)).collect()
}

fn say(channel: &mut Channel, now: Instant, text: &str) -> Vec<Output> {
    frames(text).for_each(|frame| channel.handle_data(now, &frame));
    outputs(channel)
}

/// Begins a connection.
fn begin(channel: &mut Channel, now: Instant) -> Vec<Output> {
    channel.handle_data(now, &begin_frame());
    say(channel, now, HELLO)
}

fn outputs(channel: &mut Channel) -> Vec<Output> {
    let next = || match channel.poll_output() {
        Output::Timeout(_) => None,
        output => Some(output),
    };
    std::iter::from_fn(next).collect()
}

fn welcomed(now: Instant) -> Channel {
    let mut channel = Channel::new(now, Limits::default());
    let began = begin(&mut channel, now);
    assert!(
        matches!(&began[..], [Output::Began, Output::Data(frame), Output::Request { id: Some(1), .. }] if *frame == [BEGIN])
    );
    let text = include_str!("../../golden/server_welcome.json");
    let welcome = Envelope::<ServerMessage>::parse(text).expect("good").expect("known").message;
    channel.send(now, Some(1), welcome);
    assert!(matches!(outputs(&mut channel)[..], [Output::Data(_)]));
    channel
}

#[test]
fn messages_of_every_size_come_back_whole() {
    for length in [0, 1, PART_BYTES_MAX - 1, PART_BYTES_MAX, PART_BYTES_MAX + 1, 256 * 1024, MESSAGE_BYTES_MAX] {
        // Two bytes each, so that parts end within a character.
        let text = if length % 2 == 0 { "\u{e4}".repeat(length / 2) } else { "x".repeat(length) };
        let parts: Vec<_> = frames(&text).collect();
        assert!(parts.iter().all(|part| part.len() <= 16 * 1024));
        let mut got = put_together(parts);
        let last = got.pop();
        assert!(got.iter().all(|part| *part == Ok(None)));
        assert_eq!(last, if length == 0 { None } else { Some(Ok(Some(Frame::Text(text)))) });
    }
    assert_eq!(put_together([close_frame(4409)]), [Ok(Some(Frame::Close(4409)))]);
    // Half a message is forgotten when a connection begins.
    let anew = put_together([b"\x00ab".to_vec(), begin_frame(), b"\x01c".to_vec()]);
    assert_eq!(anew, [Ok(None), Ok(Some(Frame::Begin)), Ok(Some(Frame::Text("c".into())))]);
}

#[test]
fn what_is_no_frame_is_refused_and_what_is_too_large_once() {
    for junk in [&[][..], &[4], b"{}", &[2, 17], &[1, 0xff]] {
        assert_eq!(put_together([junk.to_vec()]), [Err(FrameError::Malformed)], "{junk:?}");
    }
    let mut assembly = Assembly::new(3);
    let mut handle = |data: &[u8]| assembly.handle_data(data);
    assert_eq!(handle(b"\x00ab"), Ok(None));
    assert_eq!(handle(b"\x00cd"), Err(FrameError::TooLarge));
    assert_eq!(handle(b"\x00ef"), Ok(None));
    assert_eq!(handle(b"\x01g"), Ok(None));
    assert_eq!(handle(b"\x01abc"), Ok(Some(Frame::Text("abc".into()))));
    assert_eq!(handle(b"\x01abcd"), Err(FrameError::TooLarge));
    assert_eq!(handle(b"\x01ab"), Ok(Some(Frame::Text("ab".into()))));
}

#[test]
fn nothing_counts_before_the_beginning_and_after_the_end() {
    let now = epoch();
    let mut channel = Channel::new(now, Limits::default());
    assert_eq!(say(&mut channel, now, HELLO), []);
    channel.handle_data(now, b"junk");
    assert_eq!(outputs(&mut channel), []);
    let mut channel = welcomed(now);
    assert!(matches!(&say(&mut channel, now, PING)[..], [Output::Data(pong)] if pong.ends_with(br#"{"n":5}}"#)));
    channel.close(now, CloseCode::Replaced);
    assert_eq!(outputs(&mut channel), [Output::Data(close_frame(4409)), Output::Closed]);
    assert_eq!(say(&mut channel, now, PING), []);
    assert_eq!(channel.poll_output(), Output::Timeout(None), "it costs nothing while it waits");
    // It is taken up again.
    assert!(matches!(begin(&mut channel, now)[..], [Output::Began, Output::Data(_), Output::Request { .. }]));
}

#[test]
fn a_new_beginning_keeps_the_pace() {
    let now = epoch();
    let mut channel = welcomed(now);
    let began = (0..200).filter(|_| begin(&mut channel, now).contains(&Output::Began)).count();
    assert_eq!(began, 200);
    // The allowance of a hundred is long used up.
    let said = begin(&mut channel, now);
    assert!(!said.iter().any(|output| matches!(output, Output::Request { .. })), "{said:?}");
}

#[test]
fn its_client_may_close_it_or_fall_silent() {
    let now = epoch();
    let mut channel = welcomed(now);
    channel.handle_data(now, &close_frame(1000));
    assert_eq!(outputs(&mut channel), [Output::Closed]);
    let mut channel = welcomed(now);
    assert_eq!(channel.poll_output(), Output::Timeout(Some(now + SILENCE_TIMEOUT)));
    channel.handle_timeout(now + SILENCE_TIMEOUT);
    let ended = outputs(&mut channel);
    assert!(
        matches!(&ended[..], [Output::Data(_), Output::Data(close), Output::Closed] if *close == close_frame(4408))
    );
}

#[test]
fn faults_end_the_connection() {
    let now = epoch();
    let mut channel = welcomed(now);
    channel.handle_data(now, b"junk");
    let ended = outputs(&mut channel);
    assert!(
        matches!(&ended[..], [Output::Data(_), Output::Data(close), Output::Closed] if *close == close_frame(4400))
    );
    let mut channel = welcomed(now);
    let large = "x".repeat(MESSAGE_BYTES_MAX + 1);
    let ended = say(&mut channel, now, &large);
    assert!(
        matches!(&ended[..], [Output::Data(_), Output::Data(close), Output::Closed] if *close == close_frame(4413))
    );
}
