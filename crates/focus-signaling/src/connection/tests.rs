use super::*;
use crate::wire::{Hello, Leave, Offer, Speakers, Welcome};

/// Unit tests need one instant to count from.
#[expect(clippy::disallowed_methods, reason = "the only clock read; all other times are relative to it")]
fn epoch() -> Instant {
    Instant::now()
}

/// A machine and its virtual time.
struct Socket {
    now: Instant,
    connection: Connection,
}

impl Socket {
    fn new() -> Self {
        let now = epoch();
        Self { now, connection: Connection::new(now, Limits::default()) }
    }

    /// A socket whose `hello` was answered by `welcome`.
    fn open() -> Self {
        let mut socket = Self::new();
        socket.text(&hello());
        assert!(matches!(socket.connection.poll_output(), Output::Request { id: Some(1), .. }));
        socket.connection.send(socket.now, Some(1), welcome());
        assert_eq!(socket.received(), vec![(Some(1), welcome())]);
        socket
    }

    fn text(&mut self, text: &str) {
        self.connection.handle_text(self.now, text);
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.connection.handle_timeout(self.now);
    }

    fn outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        loop {
            match self.connection.poll_output() {
                Output::Timeout(..) => return outputs,
                output => outputs.push(output),
            }
            assert!(outputs.len() < 2 * QUEUED_MESSAGES_MAX, "it never ends");
        }
    }

    /// Everything that was sent; nothing else may come out.
    #[track_caller]
    fn received(&mut self) -> Vec<(Option<u64>, ServerMessage)> {
        let outputs = self.outputs();
        outputs.iter().map(|output| message(output).unwrap_or_else(|| panic!("{output:?} is not a text"))).collect()
    }

    #[track_caller]
    fn received_error(&mut self) -> (Option<u64>, ErrorBody) {
        match <[_; 1]>::try_from(self.received()) {
            Ok([(re, ServerMessage::Error(body))]) => (re, body),
            other => panic!("{other:?}"),
        }
    }

    /// The socket was closed with an error before, and is silent for ever after.
    #[track_caller]
    fn failed(&mut self, errcode: Errcode, expected: CloseCode) {
        let outputs = self.outputs();
        let [.., error, Output::Close { code }] = outputs.as_slice() else { panic!("{outputs:?}") };
        assert_eq!(*code, expected);
        match message(error) {
            Some((_, ServerMessage::Error(body))) => assert_eq!(body.errcode, errcode.as_str()),
            other => panic!("{other:?}"),
        }
        self.is_silent();
    }

    #[track_caller]
    fn is_silent(&mut self) {
        for text in [hello(), ping(1), "{".to_owned(), "x".repeat(300 * 1024)] {
            self.text(&text);
        }
        self.connection.handle_binary(self.now);
        self.connection.send(self.now, None, speakers());
        self.connection.close(self.now, CloseCode::Internal);
        self.wait(60_000);
        assert_eq!(self.connection.poll_output(), Output::Timeout(None, Reason::Closed));
        assert_eq!(self.connection.queued(), Queued::default());
    }
}

fn message(output: &Output) -> Option<(Option<u64>, ServerMessage)> {
    let Output::Text(text) = output else { return None };
    let envelope = Envelope::<ServerMessage>::parse(text).expect("it parses").expect("its type is known");
    assert_eq!(envelope.id, None);
    Some((envelope.re, envelope.message))
}

fn hello() -> String {
    r#"{"t":"hello","id":1,"b":{"v":1,"token":"a.b.c"}}"#.to_owned()
}

fn ping(n: u64) -> String {
    format!(r#"{{"t":"ping","b":{{"n":{n}}}}}"#)
}

fn keyframe(id: u64) -> String {
    format!(r#"{{"t":"keyframe","id":{id},"b":{{"track":"t-1"}}}}"#)
}

fn leave() -> String {
    r#"{"t":"leave","id":9,"b":{"code":"left"}}"#.to_owned()
}

fn speakers() -> ServerMessage {
    ServerMessage::Speakers(Speakers { speakers: Vec::new() })
}

fn welcome() -> ServerMessage {
    ServerMessage::Welcome(Welcome {
        v: 1,
        session: "s-1".into(),
        secret: "x".into(),
        participant: "p-1".into(),
        identity: None,
        focus: "sfu.example.org".into(),
        resumed: false,
        ping_ms: 10_000,
        resume_ms: 30_000,
        limits: Limits::default(),
        participants: Vec::new(),
    })
}

#[test]
fn requests_pass_after_welcome() {
    let mut socket = Socket::open();
    socket.text(&keyframe(2));
    socket.text(&keyframe(3));
    let ids: Vec<_> = socket
        .outputs()
        .into_iter()
        .map(|output| match output {
            Output::Request { id, message: ClientMessage::Keyframe(keyframe) } => (id, keyframe.track),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, [(Some(2), "t-1".into()), (Some(3), "t-1".into())]);
}

#[test]
fn the_deadline_says_what_it_waits_for() {
    let mut socket = Socket::new();
    let start = socket.now;
    let hello_by = Output::Timeout(Some(start + Duration::from_secs(10)), Reason::Hello);
    assert_eq!(socket.connection.poll_output(), hello_by);
    socket.wait(4_000);
    socket.text(&hello());
    assert!(matches!(socket.connection.poll_output(), Output::Request { .. }));
    let silence_by = Output::Timeout(Some(socket.now + Duration::from_secs(30)), Reason::Silence);
    assert_eq!(socket.connection.poll_output(), silence_by);
}

#[test]
fn hello_must_come_within_ten_seconds() {
    let mut socket = Socket::new();
    socket.wait(9_999);
    assert_eq!(socket.outputs(), []);
    socket.wait(1);
    socket.failed(Errcode::ConnectionTimeout, CloseCode::Timeout);
}

#[test]
fn hello_must_come_first() {
    for (text, errcode) in [
        (ping(1), Errcode::BadState),
        (keyframe(1), Errcode::BadState),
        (r#"{"t":"wave","b":{}}"#.to_owned(), Errcode::BadState),
        ("{".to_owned(), Errcode::NotJson),
        (r#"{"t":"hello","b":{"v":1}}"#.to_owned(), Errcode::BadJson),
        (r#"{"t":"hello","b":{"v":2,"token":"a"}}"#.to_owned(), Errcode::Unrecognized),
    ] {
        let mut socket = Socket::new();
        socket.text(&text);
        socket.failed(errcode, CloseCode::ProtocolError);
    }
}

#[test]
fn a_second_hello_is_refused() {
    let mut socket = Socket::open();
    socket.text(&hello());
    let (re, body) = socket.received_error();
    assert_eq!((re, body.errcode.as_str()), (Some(1), "M_BAD_STATE"));
    socket.text(&ping(3));
    assert_eq!(socket.received().len(), 1, "the socket goes on");
}

#[test]
fn only_pings_are_served_before_welcome() {
    let mut socket = Socket::new();
    socket.text(&hello());
    socket.text(&keyframe(2));
    socket.text(&ping(7));
    let outputs = socket.outputs();
    assert_eq!(outputs.len(), 3);
    assert!(matches!(&outputs[0], Output::Request { id: Some(1), message: ClientMessage::Hello(Hello { .. }) }));
    let refusal = Errcode::BadState.body("wait for welcome");
    assert_eq!(message(&outputs[1]), Some((Some(2), ServerMessage::Error(refusal))));
    assert_eq!(message(&outputs[2]), Some((None, ServerMessage::Pong(Ping { n: 7 }))));

    socket.text(&leave());
    assert_eq!(socket.outputs(), [Output::Close { code: CloseCode::Normal }]);
    socket.is_silent();
}

#[test]
fn a_refused_hello_does_not_open() {
    let mut socket = Socket::new();
    socket.text(&hello());
    socket.outputs();
    socket.connection.send(socket.now, Some(1), ServerMessage::Error(Errcode::Unauthorized.body("expired")));
    socket.text(&keyframe(2));
    let refusals = socket.received();
    assert_eq!(refusals.len(), 2, "{refusals:?}");
    socket.connection.close(socket.now, CloseCode::BadToken);
    assert_eq!(socket.outputs(), [Output::Close { code: CloseCode::BadToken }]);
}

#[test]
fn ping_is_answered_with_its_numbers() {
    let mut socket = Socket::open();
    socket.text(r#"{"t":"ping","id":12,"b":{"n":5}}"#);
    assert_eq!(socket.received(), [(Some(12), ServerMessage::Pong(Ping { n: 5 }))]);
}

#[test]
fn three_missed_pings_end_the_socket() {
    let mut socket = Socket::open();
    for n in 0..10 {
        socket.wait(29_999);
        socket.text(&ping(n));
        assert_eq!(socket.received().len(), 1);
    }
    socket.wait(29_999);
    assert_eq!(socket.outputs(), []);
    socket.wait(1);
    socket.failed(Errcode::ConnectionTimeout, CloseCode::Timeout);
}

#[test]
fn any_message_is_a_sign_of_life() {
    let mut socket = Socket::open();
    for text in ["{", r#"{"t":"wave"}"#] {
        socket.wait(20_000);
        socket.text(text);
    }
    socket.wait(20_000);
    assert_eq!(socket.received().len(), 1, "the malformed one was answered, the unknown one ignored");
}

#[test]
fn a_burst_of_a_hundred_is_taken_and_the_next_one_refused() {
    let mut socket = Socket::open();
    // The bucket lost one to hello. In 20 ms one more message is earned.
    socket.wait(20);
    for n in 0..100 {
        socket.text(&ping(n));
    }
    assert!(socket.received().iter().all(|(_, message)| matches!(message, ServerMessage::Pong(_))));
    socket.text(&keyframe(77));
    let (re, body) = socket.received_error();
    assert_eq!((re, body.errcode.as_str(), body.retry_after_ms), (Some(77), "M_LIMIT_EXCEEDED", Some(20)));

    socket.wait(19);
    socket.text(&ping(1));
    assert_eq!(socket.received_error().1.retry_after_ms, Some(1));
    socket.wait(1);
    socket.text(&ping(1));
    assert!(matches!(socket.received().as_slice(), [(None, ServerMessage::Pong(_))]), "waiting as told helps");
}

#[test]
fn fifty_a_second_may_go_on_for_ever() {
    let mut socket = Socket::open();
    for n in 0..10_000 {
        socket.wait(20);
        socket.text(&ping(n));
        assert!(matches!(socket.received().as_slice(), [(None, ServerMessage::Pong(_))]), "message {n}");
    }
}

#[test]
fn large_messages_count_more() {
    let mut socket = Socket::open();
    socket.wait(1_000);
    let large = format!(r#"{{"t":"ping","x":"{}","b":{{"n":1}}}}"#, "x".repeat(250 * 1024));
    for _ in 0..6 {
        socket.text(&large);
        assert!(matches!(socket.received().as_slice(), [(_, ServerMessage::Pong(_))]));
    }
    // 6 × 16 of 100 are used.
    socket.text(&large);
    assert_eq!(socket.received_error().1.retry_after_ms, Some(240));
}

#[test]
fn a_small_rate_still_lets_the_largest_message_pass() {
    let now = epoch();
    let mut rate = Rate::new(now, 1);
    assert_eq!(rate.take(now, MESSAGE_BYTES_MAX), Ok(()));
    assert_eq!(rate.take(now, 1), Err(Duration::from_secs(1)));
    assert_eq!(Rate::new(now, 0).take(now, 1), Ok(()));
}

#[test]
fn a_client_that_does_not_slow_down_is_closed() {
    let mut socket = Socket::open();
    for n in 0..99 + 200 {
        socket.text(&ping(n));
    }
    let answers = socket.received();
    let refused = answers.iter().filter(|(_, message)| matches!(message, ServerMessage::Error(_))).count();
    assert_eq!((answers.len(), refused), (299, 200));
    socket.text(&ping(0));
    socket.failed(Errcode::LimitExceeded, CloseCode::RateLimited);
}

#[test]
fn refusals_are_forgotten_after_their_window() {
    let mut socket = Socket::open();
    for _ in 0..5 {
        for n in 0..299 {
            socket.text(&ping(n));
        }
        // 199 or 200 are refused each time, never more in one window.
        assert!(!socket.outputs().iter().any(|output| matches!(output, Output::Close { .. })));
        socket.wait(10_000);
    }
}

#[test]
fn a_message_may_have_1280_kib() {
    let padded = |bytes: usize| {
        let frame = ping(1).len();
        ping(1).replace("}}", &format!("}}{}}}", " ".repeat(bytes - frame)))
    };
    let mut socket = Socket::open();
    let text = padded(1280 * 1024);
    assert_eq!(text.len(), 1280 * 1024);
    socket.text(&text);
    assert!(matches!(socket.received().as_slice(), [(None, ServerMessage::Pong(_))]));
    socket.text(&padded(1280 * 1024 + 1));
    socket.failed(Errcode::TooLarge, CloseCode::TooLarge);
}

#[test]
fn a_stranger_may_say_less() {
    let padded = |bytes: usize| hello().replace(r#""t""#, &format!(r#""x":"{}","t""#, "x".repeat(bytes)));
    let mut socket = Socket::new();
    socket.text(&padded(16 * 1024));
    socket.failed(Errcode::TooLarge, CloseCode::TooLarge);
    let mut socket = Socket::new();
    socket.text(&padded(16_000));
    assert!(matches!(socket.connection.poll_output(), Output::Request { id: Some(1), .. }));
    socket.text(&ping(1).replace("{\"n", &format!(r#"{{"x":"{}","n"#, "x".repeat(16 * 1024))));
    socket.failed(Errcode::TooLarge, CloseCode::TooLarge);
}

/// As many m-lines as may be, each as large as a browser writes one: see [`SDP_BYTES_MAX`].
#[test]
fn an_offer_of_256_slots_passes() {
    let line = |mid: usize| format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{mid}\r\n");
    let section = |mid: usize| line(mid) + &"a=rtcp-fb:96 transport-cc\r\n".repeat((4096 - line(mid).len()) / 27);
    let sdp: String = (0..M_LINES_MAX).map(section).collect();
    assert!(sdp.len() > 1_000_000);
    let offer = |sdp: &str| {
        let message = ClientMessage::Offer(Offer { sdp: sdp.to_owned(), seq: 1, tracks: Vec::new() });
        Envelope { id: Some(2), re: None, message }.to_text()
    };
    let mut socket = Socket::open();
    socket.wait(2_000);
    socket.text(&offer(&sdp));
    let [Output::Request { id: Some(2), message: ClientMessage::Offer(taken) }] = &socket.outputs()[..] else {
        panic!()
    };
    assert!(taken.sdp == sdp);
    // It counts like 70 messages, so the next one waits.
    socket.text(&offer(&sdp));
    assert_eq!(socket.received_error().1.errcode, "M_LIMIT_EXCEEDED");
    socket.wait(2_000);
    socket.text(&offer(&(sdp + &line(M_LINES_MAX))));
    assert_eq!(socket.received_error().1.errcode, "M_TOO_LARGE");
}

#[test]
fn binary_is_a_protocol_error() {
    let mut socket = Socket::open();
    socket.connection.handle_binary(socket.now);
    socket.failed(Errcode::NotJson, CloseCode::ProtocolError);
}

#[test]
fn malformed_messages_are_answered_nineteen_times() {
    let mut socket = Socket::open();
    for id in 0..19 {
        socket.text(&format!(r#"{{"t":"mute","id":{id},"b":{{"track":"t-1"}}}}"#));
        let (re, body) = socket.received_error();
        assert_eq!((re, body.errcode.as_str()), (Some(id), "M_BAD_JSON"));
        assert_eq!(body.error, "b: missing field `muted`");
    }
    socket.text(r#"{"t":"wave","b":{"critical":true}}"#);
    assert_eq!(socket.received_error().1.errcode, "M_UNRECOGNIZED");
    socket.text("{");
    socket.failed(Errcode::NotJson, CloseCode::ProtocolError);
}

#[test]
fn an_unknown_message_is_not_answered() {
    let mut socket = Socket::open();
    socket.text(r#"{"t":"wave","id":4,"b":{"x":1}}"#);
    assert_eq!(socket.outputs(), []);
}

#[test]
fn nothing_is_heard_after_leave() {
    let mut socket = Socket::open();
    socket.text(&keyframe(2));
    socket.text(&leave());
    socket.text(&keyframe(3));
    socket.text("{");
    let outputs = socket.outputs();
    let left = ClientMessage::Leave(Leave { code: "left".into(), reason: None });
    assert_eq!(outputs.len(), 2);
    assert_eq!(outputs[1], Output::Request { id: Some(9), message: left });
    socket.connection.send(socket.now, None, welcome());
    assert_eq!(socket.received().len(), 1);
    socket.text(&keyframe(4));
    assert_eq!(socket.outputs(), [], "a late welcome does not open it again");
    socket.wait(4_999);
    assert_eq!(socket.outputs(), []);
    socket.wait(1);
    assert_eq!(socket.outputs(), [Output::Close { code: CloseCode::Normal }], "even if its driver forgets");
    socket.is_silent();
}

#[test]
fn close_comes_after_what_was_queued_and_once() {
    let mut socket = Socket::open();
    let left = ServerMessage::Leave(Leave { code: Errcode::Forbidden.as_str().into(), reason: None });
    socket.connection.send(socket.now, None, left.clone());
    socket.connection.close(socket.now, CloseCode::Forbidden);
    socket.connection.close(socket.now, CloseCode::Draining);
    socket.connection.send(socket.now, None, speakers());
    let outputs = socket.outputs();
    assert_eq!(outputs.len(), 2);
    assert_eq!(message(&outputs[0]), Some((None, left)));
    assert_eq!(outputs[1], Output::Close { code: CloseCode::Forbidden });
    socket.is_silent();
}

#[test]
fn a_request_outlives_its_socket() {
    let mut socket = Socket::open();
    socket.text(&leave());
    socket.connection.send(socket.now, None, speakers());
    socket.connection.handle_closed(socket.now);
    assert!(matches!(socket.outputs().as_slice(), [Output::Request { message: ClientMessage::Leave(_), .. }]));
    socket.is_silent();
}

#[test]
fn a_socket_that_is_gone_is_not_closed() {
    let mut socket = Socket::open();
    socket.connection.close(socket.now, CloseCode::Draining);
    socket.connection.handle_closed(socket.now);
    assert_eq!(socket.outputs(), []);
    socket.is_silent();
}

#[test]
fn a_reader_that_is_too_slow_is_closed() {
    let mut socket = Socket::open();
    for _ in 0..QUEUED_MESSAGES_MAX {
        socket.connection.send(socket.now, None, speakers());
    }
    assert_eq!(socket.connection.queued().messages, QUEUED_MESSAGES_MAX);
    socket.connection.send(socket.now, None, speakers());
    assert_eq!(socket.connection.queued(), Queued::default());
    assert_eq!(socket.outputs(), [Output::Close { code: CloseCode::Timeout }]);
    socket.is_silent();
}

#[test]
fn the_queue_is_bounded_in_bytes_but_takes_one_message_of_any_size() {
    let mut socket = Socket::open();
    let long = |bytes| {
        ServerMessage::Error(ErrorBody { errcode: "x".repeat(bytes), error: String::new(), retry_after_ms: None })
    };
    socket.connection.send(socket.now, None, long(QUEUED_BYTES_MAX + 1));
    assert!(socket.connection.queued().bytes > QUEUED_BYTES_MAX);
    assert_eq!(socket.received().len(), 1);
    assert_eq!(socket.connection.queued().bytes, 0);

    socket.connection.send(socket.now, None, long(QUEUED_BYTES_MAX - 1000));
    socket.connection.send(socket.now, None, long(1000));
    assert_eq!(socket.outputs(), [Output::Close { code: CloseCode::Timeout }]);
}

#[test]
fn requests_that_nobody_takes_are_bounded() {
    let mut socket = Socket::open();
    for id in 0..300 {
        socket.wait(20);
        socket.text(&keyframe(id));
    }
    let outputs = socket.outputs();
    let requests = outputs.iter().filter(|output| matches!(output, Output::Request { .. })).count();
    assert_eq!((requests, outputs.len()), (QUEUED_REQUESTS_MAX, 300));
    let (re, ServerMessage::Error(body)) = message(&outputs[299]).expect("the last ones were refused") else {
        panic!()
    };
    assert_eq!((re, body.errcode.as_str()), (Some(299), "M_LIMIT_EXCEEDED"));
}
