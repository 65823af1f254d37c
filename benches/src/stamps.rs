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

#[cfg(test)]
mod tests {
    use super::*;

    /// Between the sending and the reading, by one clock.
    #[test]
    fn the_kernels_stamp_lies_between_sending_and_reading() {
        let epoch = Instant::now();
        let receiver = crate::load::bind(std::net::Ipv4Addr::LOCALHOST.into()).expect("a socket");
        enable(&receiver).expect("the option");
        let mut stamps = Stamps::new(epoch);
        let sender = std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
        let before = epoch.elapsed().as_nanos() as u64;
        sender.send_to(b"x", receiver.local_addr().expect("address")).expect("sent");
        let mut buffer = [0; 10];
        // On loopback it is there when `send_to` returns.
        let (length, source, arrived) = stamps.receive(&receiver, &mut buffer).expect("received");
        assert_eq!((length, source), (1, sender.local_addr().expect("address")));
        let after = epoch.elapsed().as_nanos() as u64;
        let arrived = arrived.expect("a stamp");
        // The two clocks are read one after the other when they are related: a busy machine may interrupt that.
        let slack = 1_000_000;
        assert!(arrived + slack >= before && arrived <= after + slack, "{before} {arrived} {after}");
    }
}
