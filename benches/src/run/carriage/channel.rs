//! The data channel of the peer connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use focus_signaling::Envelope;
use focus_signaling::channel::{Assembly, Frame, begin_frame, frames};
use focus_signaling::limits::QUEUED_BYTES_MAX;
use focus_signaling::wire::ServerMessage;
use tokio::time::{timeout, timeout_at};
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use crate::run::peer::Peer;

/// For the first packets of the new association.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// The focus answers a ping every ten seconds; after so long it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(25);

pub struct Channel {
    channel: Arc<dyn DataChannel>,
    assembly: Assembly,
    /// The focus said that the connection begins; what came before is void.
    begun: bool,
    heard: Instant,
}

impl Channel {
    /// Waits until it is open, and begins a connection.
    pub async fn begin(peer: &Peer) -> Result<Self> {
        let channel = peer.channel.clone().context("there is no data channel")?;
        let opened = async {
            while let Some(event) = channel.poll().await {
                if matches!(event, DataChannelEvent::OnOpen) {
                    return true;
                }
            }
            false
        };
        ensure!(timeout(OPEN_TIMEOUT, opened).await.context("the data channel does not open")?, "no data channel");
        channel.send(BytesMut::from(&begin_frame()[..])).await?;
        Ok(Self { channel, assembly: Assembly::new(2 * QUEUED_BYTES_MAX), begun: false, heard: Instant::now() })
    }

    pub async fn send(&mut self, text: &str) -> Result<()> {
        for frame in frames(text) {
            self.channel.send(BytesMut::from(&frame[..])).await?;
        }
        Ok(())
    }

    pub async fn next(&mut self) -> Result<Option<Envelope<ServerMessage>>> {
        loop {
            let silence = (self.heard + SILENCE_MAX).into();
            let event = timeout_at(silence, self.channel.poll()).await.context("the focus has fallen silent")?;
            self.heard = Instant::now();
            let data = match event {
                Some(DataChannelEvent::OnMessage(message)) => message.data,
                Some(DataChannelEvent::OnClose) | None => return Ok(None),
                Some(_) => continue,
            };
            match self.assembly.handle_data(&data)? {
                Some(Frame::Begin) => self.begun = true,
                Some(Frame::Text(text)) if self.begun => {
                    if let Some(envelope) = Envelope::<ServerMessage>::parse(&text).context("from the server")? {
                        return Ok(Some(envelope));
                    }
                }
                Some(Frame::Close(code)) if self.begun => bail!("closed by the server: {code}"),
                _ => {}
            }
        }
    }
}
