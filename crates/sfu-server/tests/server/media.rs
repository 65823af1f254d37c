//! Real sockets: a WebRTC client against the media port.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::json;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};

use crate::harness::{Client, get, node, within};

/// Clients that are tried until the kernel's hash sends one to the wrong worker. It does with every second one.
const CLIENTS_MAX: usize = 40;
const DEADLINE: Duration = Duration::from_secs(20);

struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
}

impl Peer {
    fn offer() -> (Self, String, SdpPendingOffer) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let address = socket.local_addr().expect("bound");
        let mut rtc = Rtc::new(Instant::now());
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("a candidate"));
        let mut change = rtc.sdp_api();
        change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        change.add_channel("rust-sfu".to_owned());
        let (offer, pending) = change.apply().expect("an offer");
        (Self { rtc, socket, address }, offer.to_sdp_string(), pending)
    }

    /// Drives the peer until its DTLS is up. Blocks on its socket.
    fn connect(mut self) -> Self {
        let end = Instant::now() + DEADLINE;
        let (mut ice, mut buffer) = (false, [0; 2000]);
        loop {
            assert!(Instant::now() < end, "not connected; ICE: {ice}");
            match self.rtc.poll_output().expect("alive") {
                Output::Event(Event::IceConnectionStateChange(state)) => ice = state == IceConnectionState::Completed,
                Output::Event(Event::Connected) => return self,
                Output::Event(_) => {}
                Output::Transmit(t) => drop(self.socket.send_to(&t.contents, t.destination)),
                Output::Timeout(at) => {
                    let wait = at.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
                    self.socket.set_read_timeout(Some(wait)).expect("set");
                    let received = self.socket.recv_from(&mut buffer);
                    let now = Instant::now();
                    let input = match &received {
                        Ok((length, source)) => {
                            let contents = buffer[..*length].try_into().expect("a known protocol");
                            let (source, destination) = (*source, self.address);
                            Input::Receive(now, Receive { proto: Protocol::Udp, source, destination, contents })
                        }
                        Err(_) => Input::Timeout(now),
                    };
                    self.rtc.handle_input(input).expect("alive");
                }
            }
        }
    }
}

fn value(metrics: &str, series: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("{series}"));
    line.trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_connect_whichever_workers_socket_they_reach() {
    let node = node(true).await;
    let mut clients = Vec::new();
    loop {
        // Conferences of their own: both workers get some.
        let mut client = Client::join(node.http_addr(), &format!("room {}", clients.len())).await;
        let (mut peer, sdp, pending) = Peer::offer();
        client.send(json!({ "t": "offer", "id": 2, "b": { "sdp": sdp, "seq": 1, "tracks": [] } })).await;
        let answer = client.message().await;
        let sdp = answer["b"]["sdp"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let answer = SdpAnswer::from_sdp_string(sdp).expect("an answer");
        peer.rtc.sdp_api().accept_answer(pending, answer).expect("accepted");
        let peer = within("the connection", tokio::task::spawn_blocking(|| peer.connect())).await.expect("connected");
        clients.push((client, peer));
        // Workers publish their counters once a second; a client that connected is in the metrics soon after.
        let connected = format!("sfu_join_duration_seconds_count {}", clients.len());
        let metrics = within("the metrics", async {
            loop {
                let metrics = get(node.http_addr(), "/metrics").await.body;
                let joined = metrics.contains(&connected);
                if joined && value(&metrics, "sfu_peers_total{event=\"connected\"}") == clients.len() as u64 {
                    return metrics;
                }
            }
        });
        let metrics = metrics.await;
        let misrouted = |event| value(&metrics, &format!("sfu_misrouted_datagrams_total{{event=\"{event}\"}}"));
        if misrouted("received") > 0 {
            assert_eq!(misrouted("late"), 0, "each found its owner");
            break;
        }
        assert!(clients.len() < CLIENTS_MAX, "none was misrouted");
    }
    node.stop().await;
}
