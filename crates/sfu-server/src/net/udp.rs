//! The UDP sockets of one worker: batches with GRO in, GSO batches out. The only file that knows quinn-udp.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use mio::{Interest, Registry, Token};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use sfu_core::io::Transmit;
use socket2::{Domain, Protocol, Socket, Type};

/// Kernel buffer asked for, each way: 50 ms of one worker at 600 Mbit/s, so that one slow turn loses nothing.
const KERNEL_BUFFER: usize = 4 * 1024 * 1024;
/// The kernel joins at most so many bytes into one GRO buffer; also the most that one GSO send may hold.
const UDP_PAYLOAD_MAX: usize = 65_507;
const RECEIVE_BUFFER: usize = 64 * 1024;
/// Bytes that wait while the kernel takes no more: about what it holds itself. What is beyond is dropped, as a full
/// router would, and congestion control hears of it.
const PENDING_BYTES_MAX: usize = 1024 * 1024;

/// Binds one socket. `shared`: others will be bound to the same port (`SO_REUSEPORT`).
pub(crate) fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own; without this the two could not share the port.
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    // The kernel caps these at net.core.{r,w}mem_max; `kernel_buffers` tells what came of it.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Receive and send buffer that the kernel gave, in bytes (it doubles what it grants for its own bookkeeping), and
/// whether that is less than was asked for.
pub(crate) fn kernel_buffers(socket: &Socket) -> io::Result<(usize, usize, bool)> {
    let (receive, send) = (socket.recv_buffer_size()?, socket.send_buffer_size()?);
    Ok((receive, send, receive.min(send) < KERNEL_BUFFER))
}

/// What the kernel did to our traffic. All only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct UdpCounters {
    pub(crate) receive_errors: u64,
    /// Sends that had to wait for the kernel.
    pub(crate) sends_delayed: u64,
    /// Datagrams dropped because too many waited.
    pub(crate) dropped_full: u64,
    /// Datagrams that the kernel refused: no route, not permitted.
    pub(crate) dropped_refused: u64,
    /// Datagrams not even tried: to port 0, or of a family without a socket.
    pub(crate) dropped_unsendable: u64,
}

/// One socket with its state.
pub(crate) struct Udp {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    /// The kernel may hold more for us. Readiness is edge-triggered: it is not told twice.
    pub(crate) readable: bool,
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    segmentation_lost: bool,
}

struct Pending {
    source: IpAddr,
    destination: SocketAddr,
    segment_size: usize,
    contents: Box<[u8]>,
}

/// Buffers for one receive call, shared by the sockets of a worker. The system maps the pages when they are first used.
pub(crate) struct ReceiveBuffers(Vec<u8>);

impl Default for ReceiveBuffers {
    fn default() -> Self {
        Self(vec![0; BATCH_SIZE * RECEIVE_BUFFER])
    }
}

/// One received datagram.
pub(crate) struct Received<'a> {
    pub(crate) source: SocketAddr,
    /// Which of our addresses it was sent to, where the kernel says so.
    pub(crate) destination: Option<IpAddr>,
    pub(crate) contents: &'a [u8],
}

impl Udp {
    pub(crate) fn new(socket: Socket, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut socket = mio::net::UdpSocket::from_std(socket.into());
        let state = UdpSocketState::new((&socket).into())?;
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let local = socket.local_addr()?;
        let segmentation_lost = false;
        Ok(Self { socket, state, local, readable: true, pending: VecDeque::new(), pending_bytes: 0, segmentation_lost })
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// One receive call: up to [`BATCH_SIZE`] buffers, each perhaps of many datagrams.
    pub(crate) fn receive(
        &mut self,
        buffers: &mut ReceiveBuffers,
        counters: &mut UdpCounters,
        mut each: impl FnMut(Received<'_>),
    ) {
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        let mut chunks = buffers.0.chunks_exact_mut(RECEIVE_BUFFER);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let count = match self.state.recv((&self.socket).into(), &mut slices, &mut meta) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                return;
            }
            Err(_) => {
                // An ICMP error of an earlier send, reported here; reading it has cleared it.
                counters.receive_errors += 1;
                return;
            }
        };
        for (meta, slice) in meta.iter().zip(&slices).take(count) {
            // Nobody can answer to port 0, and the kernel refuses it in a way that would cost us segmentation.
            if meta.addr.port() == 0 {
                continue;
            }
            let filled = slice.get(..meta.len).unwrap_or_default();
            for contents in filled.chunks(meta.stride.max(1)) {
                each(Received { source: meta.addr, destination: meta.dst_ip, contents });
            }
        }
    }

    /// Sends, or keeps for [`flush`](Self::flush) what the kernel does not take now.
    pub(crate) fn send(&mut self, transmit: &Transmit<'_>, counters: &mut UdpCounters) {
        let segment_size = transmit.segment_size.max(1);
        let (source, destination) = (transmit.source.ip(), transmit.destination);
        if destination.port() == 0 {
            counters.dropped_unsendable += transmit.contents.len().div_ceil(segment_size) as u64;
            return;
        }
        let mut rest = transmit.contents;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(self.batch_bytes(segment_size).min(rest.len()));
            if !self.pending.is_empty() {
                // Behind what waits already: order within a destination is worth keeping.
                self.keep(source, destination, segment_size, rest, counters);
                return;
            }
            match self.try_send(source, destination, segment_size, batch) {
                Ok(()) => rest = after,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    counters.sends_delayed += 1;
                    self.keep(source, destination, segment_size, rest, counters);
                    return;
                }
                // The kernel or the driver has just turned out to know no segmentation (quinn-udp has noted it): again, singly.
                Err(_) if self.lost_segmentation() => {}
                Err(_) => {
                    counters.dropped_refused += batch.len().div_ceil(segment_size) as u64;
                    rest = after;
                }
            }
        }
    }

    /// The kernel takes more: sends what waits.
    pub(crate) fn flush(&mut self, counters: &mut UdpCounters) {
        while let Some(next) = self.pending.pop_front() {
            let bytes = next.contents.len();
            let batch = self.batch_bytes(next.segment_size).min(bytes);
            match self.try_send(next.source, next.destination, next.segment_size, &next.contents[..batch]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.pending.push_front(next);
                    return;
                }
                Err(_) if self.lost_segmentation() => {
                    self.pending.push_front(next);
                    continue;
                }
                Err(_) => counters.dropped_refused += batch.div_ceil(next.segment_size) as u64,
                Ok(()) => {}
            }
            self.pending_bytes -= bytes;
            if batch < bytes {
                let contents: Box<[u8]> = next.contents[batch..].into();
                self.pending_bytes += contents.len();
                self.pending.push_front(Pending { contents, ..next });
            }
        }
    }

    fn keep(
        &mut self,
        source: IpAddr,
        destination: SocketAddr,
        segment_size: usize,
        contents: &[u8],
        counters: &mut UdpCounters,
    ) {
        if self.pending_bytes + contents.len() > PENDING_BYTES_MAX {
            counters.dropped_full += contents.len().div_ceil(segment_size) as u64;
            return;
        }
        self.pending_bytes += contents.len();
        self.pending.push_back(Pending { source, destination, segment_size, contents: contents.into() });
    }

    fn try_send(
        &self,
        source: IpAddr,
        destination: SocketAddr,
        segment_size: usize,
        contents: &[u8],
    ) -> io::Result<()> {
        // A socket on all addresses would let the kernel choose the source; the client answers only to the one it knows.
        let src_ip = (self.local.ip().is_unspecified() && !source.is_unspecified()).then_some(source);
        let segment_size = (contents.len() > segment_size).then_some(segment_size);
        if src_ip.is_none() && segment_size.is_none() {
            // Nothing to tell the kernel beside the bytes. The plain call is a tenth cheaper than one with control messages
            // (2.5 µs against 2.8 for 80 bytes over loopback), and audio is sent like this.
            return self.socket.send_to(contents, destination).map(|_| ());
        }
        let transmit = quinn_udp::Transmit { destination, ecn: None, contents, segment_size, src_ip };
        self.state.try_send((&self.socket).into(), &transmit)
    }

    /// Most bytes of one send: whole segments, as many as the kernel splits.
    fn batch_bytes(&self, segment_size: usize) -> usize {
        let segments = (UDP_PAYLOAD_MAX / segment_size).min(self.state.max_gso_segments()).max(1);
        segments * segment_size
    }

    /// Whether segmentation was lost since this was last asked.
    fn lost_segmentation(&mut self) -> bool {
        let lost = self.state.max_gso_segments() <= 1;
        let news = lost && !self.segmentation_lost;
        if news {
            tracing::warn!(
                "the kernel does not segment UDP (GSO) on this path: each packet is sent singly from now on"
            );
        }
        self.segmentation_lost = lost;
        news
    }
}

#[cfg(test)]
mod tests;
