//! When the kernel got a datagram (`SO_TIMESTAMPNS`), by the clock that publishers stamp with.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::UdpSocket;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;

/// See the module.
pub struct Stamps {
    /// Wall-clock time of the zero of stamps. No run is so long that the two clocks drift apart by more than some µs.
    zero: Duration,
    control: Vec<u8>,
}

pub fn enable(socket: &UdpSocket) -> io::Result<()> {
    Ok(setsockopt(socket, ReceiveTimestampns, &true)?)
}

impl Stamps {
    pub fn new(epoch: Instant) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { zero: wall.saturating_sub(epoch.elapsed()), control: nix::cmsg_space!(TimeSpec) }
    }

    /// Length, source, and the kernel's time of arrival.
    pub fn receive(&mut self, socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<u64>)> {
        let mut vectors = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::empty();
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut vectors, Some(&mut self.control), flags)?;
        let arrived = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
            _ => None,
        });
        let v4 = message.address.and_then(|address| address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into())));
        let source = v4.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok((message.bytes, source, arrived.map(|at| at.saturating_sub(self.zero).as_nanos() as u64)))
    }
}
