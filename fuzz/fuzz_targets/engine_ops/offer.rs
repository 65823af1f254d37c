//! Offers of peers that have no stack behind them.

use libfuzzer_sys::arbitrary::{self, Arbitrary};

#[derive(Debug, Clone, Arbitrary)]
pub struct OfferedLine {
    kind: LineKind,
    direction: Direction,
    /// `a=mid`; small, so that it repeats.
    mid: u8,
    layers: u8,
    codecs: u8,
    ssrc: Option<u8>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum LineKind {
    Audio,
    Video,
    Data,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Direction {
    SendOnly,
    RecvOnly,
    SendRecv,
    Inactive,
}

const FINGERPRINT: &str =
    "sha-256 0B:30:55:7A:9F:C4:E9:0E:33:58:7D:A2:C7:EC:11:36:5B:80:A5:CA:EF:14:39:5E:83:A8:CD:F2:17:3C:61:86";

pub fn mid_of(number: u8) -> String {
    (number % 8).to_string()
}

pub fn write(lines: &[OfferedLine]) -> String {
    let lines = &lines[..lines.len().min(24)];
    let mids: Vec<String> = lines.iter().map(|line| mid_of(line.mid)).collect();
    let mut sdp = format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n", mids.join(" "));
    for line in lines {
        line.write(&mut sdp);
    }
    sdp
}

impl OfferedLine {
    fn write(&self, sdp: &mut String) {
        let (media, formats) = match self.kind {
            LineKind::Audio => ("audio 9 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2\r\n"),
            LineKind::Video => self.video(),
            LineKind::Data => ("application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:5000\r\n"),
        };
        let direction = match self.direction {
            _ if matches!(self.kind, LineKind::Data) => "sctpmap:0",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::SendRecv => "sendrecv",
            Direction::Inactive => "inactive",
        };
        *sdp += &format!(
            "m={media}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
             a=fingerprint:{FINGERPRINT}\r\na=setup:actpass\r\na=mid:{}\r\na={direction}\r\na=rtcp-mux\r\n{formats}\
             a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n",
            mid_of(self.mid),
        );
        if let Some(ssrc) = self.ssrc {
            *sdp += &format!("a=ssrc:{} cname:x\r\n", 1000 + u32::from(ssrc));
        }
        let rids: Vec<String> = (0..self.layers % 6).map(|layer| format!("r{layer}")).collect();
        if !rids.is_empty() {
            rids.iter().for_each(|rid| *sdp += &format!("a=rid:{rid} send\r\n"));
            *sdp += &format!("a=simulcast:send {}\r\n", rids.join(";"));
        }
    }

    fn video(&self) -> (&'static str, &'static str) {
        match self.codecs % 4 {
            0 => (
                "video 9 UDP/TLS/RTP/SAVPF 96 97",
                "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 transport-cc\r\n\
                 a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n",
            ),
            1 => ("video 9 UDP/TLS/RTP/SAVPF 98", "a=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=2\r\n"),
            2 => (
                "video 9 UDP/TLS/RTP/SAVPF 102 45",
                "a=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n\
                 a=rtpmap:45 AV1/90000\r\n",
            ),
            _ => ("video 9 UDP/TLS/RTP/SAVPF 120", "a=rtpmap:120 unheard/90000\r\n"),
        }
    }
}
