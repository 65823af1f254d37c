//! Tells systemd how far we are (`Type=notify`, sd_notify(3)): one datagram to the socket that it names.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

pub(crate) const READY: &str = "READY=1";
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Without systemd this does nothing.
pub(crate) fn notify(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        // An abstract socket is written with @.
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_socket_hear_of_it() {
        let path = std::env::temp_dir().join(format!("sfu-notify-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let name = format!("@sfu-notify-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).expect("bound");
        let by_name =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name[1..]).expect("name")).expect("bound");
        for (socket, to) in [(by_path, path.as_os_str()), (by_name, OsStr::new(&name))] {
            send(to, READY).expect("sent");
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).expect("received");
            assert_eq!(&buffer[..length], b"READY=1");
        }
        std::fs::remove_file(&path).expect("own file");
        assert!(send(path.as_os_str(), READY).is_err());
    }
}
