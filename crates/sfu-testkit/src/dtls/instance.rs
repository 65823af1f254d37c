//! One end of the stand-in handshake.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, KeyingMaterial, ProtocolVersion, SrtpProfile};

use super::wire::{Record, digest};

/// First retransmission. RFC 6347 §4.2.4.1 says 1 s, but every WebRTC stack uses some 50–100 ms.
const RETRANSMIT_FIRST: Duration = Duration::from_millis(100);
const RETRANSMIT_MAX: Duration = Duration::from_secs(2);
/// No timer runs: str0m wants one all the same.
const NEVER: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
pub(super) struct Instance {
    certificate: Vec<u8>,
    random: [u8; 32],
    now: Instant,
    active: bool,
    state: State,
    /// What is repeated until the other side answers, when next, and how long to wait after that.
    flight: Option<(Record, Instant, Duration)>,
    out: VecDeque<Out>,
    /// Where keying material is told.
    keys: Sender<Vec<u8>>,
    /// Data records sent.
    sent: u64,
    /// Highest data record opened, and a bit for each of the 64 before it (RFC 6347 §4.1.2.6).
    opened: Option<(u64, u64)>,
    close: Close,
}

#[derive(Debug)]
enum State {
    /// Nothing that counts has come yet.
    Hello,
    /// Both hellos are known; the other side has not proved that it derived the same secret.
    Finished {
        secret: [u8; 32],
        certificate: Vec<u8>,
    },
    Connected {
        secret: [u8; 32],
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    Open,
    /// Said or heard, and the output still to be polled.
    Closing,
}

#[derive(Debug)]
enum Out {
    Packet(Vec<u8>),
    Connected,
    Certificate(Vec<u8>),
    Keys([u8; 32]),
    Data(Vec<u8>),
    Closed,
}

impl Instance {
    pub(super) fn new(certificate: Vec<u8>, random: [u8; 32], (now, keys): (Instant, Sender<Vec<u8>>)) -> Self {
        Self {
            certificate,
            random,
            now,
            active: false,
            state: State::Hello,
            flight: None,
            out: VecDeque::new(),
            keys,
            sent: 0,
            opened: None,
            close: Close::Open,
        }
    }

    fn send(&mut self, record: &Record) {
        self.out.push_back(Out::Packet(record.write()));
    }

    fn send_until_answered(&mut self, record: Record) {
        self.send(&record);
        self.flight = Some((record, self.now + RETRANSMIT_FIRST, RETRANSMIT_FIRST * 2));
    }

    /// The secret as both ends derive it.
    fn secret(&self, client: &[u8; 32], server: &[u8; 32]) -> [u8; 32] {
        digest(&[b"secret", client, server])
    }

    fn connect(&mut self, secret: [u8; 32], certificate: Vec<u8>) {
        self.out.extend([Out::Certificate(certificate), Out::Keys(secret), Out::Connected]);
        self.state = State::Connected { secret };
        self.flight = None;
    }

    fn handle_handshake(&mut self, record: Record) {
        match (self.active, &self.state, record) {
            // Server. A client hello that comes again lost its answer; one with another random after the handshake
            // would be a new association, which WebRTC makes with a new peer only.
            (false, State::Hello, Record::ClientHello { random, certificate }) => {
                let secret = self.secret(&random, &self.random);
                self.state = State::Finished { secret, certificate };
                self.send_server_hello(random);
            }
            (false, State::Finished { secret, .. }, Record::ClientHello { random, .. })
                if *secret == self.secret(&random, &self.random) =>
            {
                self.send_server_hello(random);
            }
            (false, State::Finished { secret, certificate }, Record::ClientFinished { tag })
                if tag == finished(secret, true) =>
            {
                let (secret, certificate) = (*secret, certificate.clone());
                self.send(&Record::ServerFinished { tag: finished(&secret, false) });
                self.connect(secret, certificate);
            }
            (false, State::Connected { secret }, Record::ClientFinished { tag }) if tag == finished(secret, true) => {
                let tag = finished(secret, false);
                self.send(&Record::ServerFinished { tag });
            }
            // Client.
            (true, State::Hello, Record::ServerHello { random, echo, certificate }) if echo == self.random => {
                let secret = self.secret(&self.random, &random);
                self.state = State::Finished { secret, certificate };
                self.send_until_answered(Record::ClientFinished { tag: finished(&secret, true) });
            }
            (true, State::Finished { secret, certificate }, Record::ServerFinished { tag })
                if tag == finished(secret, false) =>
            {
                let (secret, certificate) = (*secret, certificate.clone());
                self.connect(secret, certificate);
            }
            _ => {}
        }
    }

    fn send_server_hello(&mut self, echo: [u8; 32]) {
        let hello = Record::ServerHello { random: self.random, echo, certificate: self.certificate.clone() };
        self.send(&hello);
    }

    fn handle_protected(&mut self, record: Record) {
        let State::Connected { secret } = &self.state else {
            // Before the keys. SCTP and the client's finished repeat what is lost.
            return;
        };
        match record {
            Record::Data { sequence, tag, data } => {
                let genuine = tag == protect(secret, !self.active, sequence, &data);
                if genuine && self.open_once(sequence) {
                    self.out.push_back(Out::Data(data));
                }
            }
            Record::Close { tag } => {
                let genuine = tag == protect(secret, !self.active, u64::MAX, &[]);
                if genuine && self.close == Close::Open {
                    self.close = Close::Closing;
                    self.out.push_back(Out::Closed);
                }
            }
            _ => {}
        }
    }

    fn open_once(&mut self, sequence: u64) -> bool {
        let (highest, seen) = self.opened.unwrap_or((sequence, 0));
        let (highest, seen) = if sequence > highest {
            let shift = sequence - highest;
            (sequence, if shift < 64 { seen << shift } else { 0 })
        } else {
            (highest, seen)
        };
        let Some(bit) = 1u64.checked_shl((highest - sequence).try_into().unwrap_or(u32::MAX)) else { return false };
        self.opened = Some((highest, seen | bit));
        seen & bit == 0
    }
}

fn finished(secret: &[u8; 32], client: bool) -> [u8; 32] {
    digest(&[b"finished", secret, &[u8::from(client)]])
}

fn protect(secret: &[u8; 32], client: bool, sequence: u64, data: &[u8]) -> [u8; 32] {
    digest(&[b"data", secret, &[u8::from(client)], &sequence.to_be_bytes(), data])
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.active = active;
        if active {
            self.send_until_answered(Record::ClientHello {
                random: self.random,
                certificate: self.certificate.clone(),
            });
        }
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        match Record::read(packet) {
            Some(record @ (Record::Data { .. } | Record::Close { .. })) => self.handle_protected(record),
            Some(record) => self.handle_handshake(record),
            // str0m also sends an empty one to start things.
            None => {}
        }
        Ok(())
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let Some(out) = self.out.pop_front() else {
            let next = self.flight.as_ref().map_or(self.now + NEVER, |(_, at, _)| *at);
            return DtlsOutput::Timeout(next);
        };
        match out {
            Out::Packet(bytes) => DtlsOutput::Packet(fill(buf, &bytes)),
            Out::Connected => DtlsOutput::Connected,
            Out::Certificate(bytes) => DtlsOutput::PeerCert(fill(buf, &bytes)),
            Out::Keys(secret) => {
                let [first, second] = [b"keys 1", b"keys 2"].map(|label| digest(&[label, &secret]));
                // Two keys of 16 and two salts of 12 bytes (RFC 7714 §12).
                let keys: Vec<u8> = first.into_iter().chain(second).take(56).collect();
                // Nobody need listen.
                let _ = self.keys.send(keys.clone());
                DtlsOutput::KeyingMaterial(KeyingMaterial::new(&keys), SrtpProfile::AEAD_AES_128_GCM)
            }
            Out::Data(bytes) => DtlsOutput::ApplicationData(fill(buf, &bytes)),
            Out::Closed => DtlsOutput::CloseNotify,
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        if let Some((record, at, wait)) = self.flight.take() {
            if at > now {
                self.flight = Some((record, at, wait));
            } else {
                self.send(&record);
                self.flight = Some((record, now + wait, (wait * 2).min(RETRANSMIT_MAX)));
            }
        }
        Ok(())
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        if self.close != Close::Open {
            return Err(DtlsImplError::ConnectionClosed);
        }
        let State::Connected { secret } = &self.state else { return Ok(0) };
        let sequence = self.sent;
        let tag = protect(secret, self.active, sequence, data);
        self.sent += 1;
        self.send(&Record::Data { sequence, tag, data: data.to_vec() });
        Ok(data.len())
    }

    fn is_active(&self) -> bool {
        self.active
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        matches!(self.state, State::Connected { .. }).then_some(ProtocolVersion::DTLS1_2)
    }

    fn is_closing(&self) -> bool {
        self.close == Close::Closing
    }

    fn is_closed(&self) -> bool {
        self.close == Close::Closing && self.out.is_empty()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.flight = None;
        if let State::Connected { secret } = &self.state {
            let tag = protect(secret, self.active, u64::MAX, &[]);
            self.send(&Record::Close { tag });
        }
        self.close = Close::Closing;
        Ok(())
    }
}

fn fill<'a>(buf: &'a mut [u8], bytes: &[u8]) -> &'a [u8] {
    let part = &mut buf[..bytes.len()];
    part.copy_from_slice(bytes);
    part
}
