//! The signalling WebSocket.

use anyhow::{Context as _, Result, bail};
use focus_signaling::Envelope;
use focus_signaling::wire::{self, ServerMessage};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::run::target::Stream;

pub struct Socket(WebSocketStream<Box<dyn Stream>>);

impl Socket {
    pub async fn open(stream: Box<dyn Stream>, url: String) -> Result<Self> {
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(wire::SUBPROTOCOL));
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.context("the WebSocket")?;
        Ok(Self(socket))
    }

    pub async fn send(&mut self, text: String) -> Result<()> {
        self.0.send(Message::text(text)).await.context("cannot send")
    }

    pub async fn next(&mut self) -> Result<Option<Envelope<ServerMessage>>> {
        while let Some(frame) = self.0.next().await {
            match frame.context("the socket")? {
                Message::Text(frame) => {
                    if let Some(envelope) = Envelope::<ServerMessage>::parse(&frame).context("from the server")? {
                        return Ok(Some(envelope));
                    }
                }
                Message::Close(Some(frame)) => bail!("closed by the server: {} {}", frame.code, frame.reason),
                _ => {}
            }
        }
        Ok(None)
    }
}
