//! The physical limit of this machine, now: the packets of a run, sealed and sent by a bare loop with UDP GSO, on the
//! server's core, in the same bursts at the same pace, to sinks like the receivers of the run.
//!
//! It does what nobody can leave out (copy, number, seal, send) and nothing else: no ingest, no feedback, no timers.
//! The sinks' reader never sleeps, as in the run: nobody is charged for waking it.
//! Segments are padded to the largest of a burst, as a server that wants GSO would; so the limit is the best there is.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{Transmit, UdpSocketState};
use str0m::crypto::dtls::SrtpProfile;

use crate::client::publisher::MediaShape;
use crate::client::rtp::{ExtensionIds, Header, parse};
use crate::client::srtp::{Direction, SrtpError, TAG};
use crate::load::bind;
use crate::machine::{self, Cores};

/// Before the clock starts: pages are mapped, caches warm.
const WARM_UP: Duration = Duration::from_millis(500);
/// A send that the kernel does not take at once, before it is given up.
const SEND_BUFFER: usize = 4 * 1024 * 1024;
/// Until the last packets have arrived.
const DRAIN: Duration = Duration::from_millis(200);
/// As the server's answer has them.
const IDS: ExtensionIds = ExtensionIds { mid: 0, transport_sequence: 3, audio_level: 1 };

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub publishers: usize,
    /// Receivers of each publisher's packets.
    pub receivers: usize,
    pub shape: MediaShape,
    pub profile: SrtpProfile,
    pub duration: Duration,
}

/// CPU nanoseconds per packet.
pub fn measure(load: Load, cores: Cores) -> Result<f64> {
    let mut sinks = Vec::new();
    for _ in 0..load.receivers {
        sinks.push(bind(Ipv4Addr::LOCALHOST.into())?);
    }
    let addresses: Vec<SocketAddr> = sinks.iter().map(|sink| sink.local_addr()).collect::<Result<_, _>>()?;
    // Starts on our core and moves itself.
    let sender = std::thread::Builder::new().name("limit".into()).spawn(move || send(load, cores, &addresses))?;
    let mut poll = Poll::new()?;
    for (index, sink) in sinks.iter_mut().enumerate() {
        poll.registry().register(sink, Token(index), Interest::READABLE)?;
    }
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 2048];
    let mut received = 0u64;
    let mut end = None;
    while end.is_none_or(|end| Instant::now() < end) {
        poll.poll(&mut events, Some(Duration::ZERO)).or_else(|error| match error.kind() {
            ErrorKind::Interrupted => Ok(()),
            _ => Err(error),
        })?;
        for event in &events {
            let sink = &sinks[event.token().0];
            while let Ok(length) = sink.recv(&mut buffer) {
                received += u64::from(parse(&buffer[..length], IDS).is_some_and(|p| p.transport_sequence.is_some()));
            }
        }
        if end.is_none() && sender.is_finished() {
            end = Some(Instant::now() + DRAIN);
        }
    }
    let sent = sender.join().map_err(|_| anyhow::anyhow!("the limit loop panicked"))??;
    if received * 1000 < sent.packets * 999 {
        bail!("the limit loop lost packets: {received} of {} arrived", sent.packets);
    }
    Ok(sent.cpu.as_nanos() as f64 / sent.measured as f64)
}

struct Sent {
    packets: u64,
    measured: u64,
    cpu: Duration,
}

/// One receiver as the bare loop sees it.
struct Target {
    address: SocketAddr,
    keys: Direction,
    sequence: u64,
}

fn send(load: Load, cores: Cores, addresses: &[SocketAddr]) -> Result<Sent> {
    machine::pin(cores.server)?;
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let _ = socket2::SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER);
    let state = UdpSocketState::new((&socket).into())?;
    let targets = addresses
        .iter()
        .map(|address| Ok(Target { address: *address, keys: keys(load.profile, address)?, sequence: 1 }));
    let mut targets: Vec<Target> = targets.collect::<Result<_, SrtpError>>()?;
    let size = load.shape.size + load.shape.jitter;
    let payload = vec![0xa5; size];
    let mut buffer = Vec::with_capacity(load.shape.burst * (size + 64));
    let step = load.shape.interval / u32::try_from(load.publishers).context("publishers")?;
    let (mut packets, mut start, mut measured_from) = (0, None, 0);
    let begin = Instant::now();
    let mut next = begin;
    for burst in 0u32.. {
        let now = Instant::now();
        if start.is_none() && now >= begin + WARM_UP {
            start = Some(machine::thread_cpu());
            measured_from = packets;
        }
        if now >= begin + WARM_UP + load.duration {
            break;
        }
        let publisher = burst % u32::try_from(load.publishers).context("publishers")?;
        for target in &mut targets {
            seal_burst(target, &payload, publisher, &load.shape, &mut buffer)?;
            let segment = buffer.len() / load.shape.burst;
            let transmit = Transmit {
                destination: target.address,
                ecn: None,
                contents: &buffer,
                segment_size: (load.shape.burst > 1).then_some(segment),
                src_ip: None,
            };
            state.try_send((&socket).into(), &transmit).context("the kernel takes no more")?;
            packets += load.shape.burst as u64;
        }
        next += step;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let cpu = machine::thread_cpu().saturating_sub(start.context("too short")?);
    Ok(Sent { packets, measured: packets - measured_from, cpu })
}

fn seal_burst(
    target: &mut Target,
    payload: &[u8],
    publisher: u32,
    shape: &MediaShape,
    out: &mut Vec<u8>,
) -> Result<(), SrtpError> {
    out.clear();
    for _ in 0..shape.burst {
        let header = Header {
            payload_type: 96,
            marker: false,
            sequence: target.sequence as u16,
            timestamp: target.sequence as u32,
            ssrc: publisher + 1,
            transport_sequence: Some(target.sequence as u16),
            mid: None,
            audio_level: shape.audio.then_some(30),
        };
        let start = out.len();
        let length = header.write(IDS, out);
        out.extend_from_slice(payload);
        target.keys.seal_rtp(out, start, length, target.sequence)?;
        debug_assert_eq!(out.len() - start, length + payload.len() + TAG);
        target.sequence += 1;
    }
    Ok(())
}

/// Any keys: what they cost does not depend on what they are.
fn keys(profile: SrtpProfile, address: &SocketAddr) -> Result<Direction, SrtpError> {
    let length = if profile == SrtpProfile::AEAD_AES_128_GCM { 16 } else { 32 };
    Direction::new(&vec![address.port() as u8; length], &[7; 12])
}
