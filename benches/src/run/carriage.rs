//! How messages of the dialect reach the server: over a WebSocket; or over to-device messages until the data channel is
//! open, and then over that.

mod channel;
mod link;
mod socket;

use anyhow::Result;
use focus_signaling::Envelope;
use focus_signaling::wire::{self, ClientMessage, ServerMessage};

use channel::Channel;
use link::Link;
pub use link::Post;
use socket::Socket;

use super::door::Entry;
use super::peer::Peer;

/// See the module.
pub struct Carriage {
    way: Way,
    id: u64,
}

enum Way {
    Socket(Box<Socket>),
    Link(Link),
    Channel(Channel),
}

impl Carriage {
    /// Connects and says hello.
    pub async fn open(entry: Entry) -> Result<Self> {
        let (way, token) = match entry {
            Entry::Socket { stream, url, token } => {
                (Way::Socket(Box::new(Socket::open(stream, url).await?)), Some(token))
            }
            Entry::ToDevice(post) => (Way::Link(Link::open(post)), None),
        };
        let mut carriage = Self { way, id: 0 };
        carriage.hello(token, None).await?;
        Ok(carriage)
    }

    /// The peer connection is negotiated: the session goes on over its data channel.
    pub async fn move_to_channel(&mut self, peer: &Peer, resume: wire::Resume) -> Result<()> {
        self.way = Way::Channel(Channel::begin(peer).await?);
        self.hello(None, Some(resume)).await
    }

    /// Only a data channel can be negotiated this way.
    pub fn is_link(&self) -> bool {
        matches!(self.way, Way::Link(_))
    }

    async fn hello(&mut self, token: Option<String>, resume: Option<wire::Resume>) -> Result<()> {
        let client = Some(concat!("sfu-bench/", env!("CARGO_PKG_VERSION")).to_owned());
        self.send(ClientMessage::Hello(wire::Hello { v: wire::VERSION, token, resume, client })).await.map(drop)
    }

    /// The number by which an answer names the message.
    pub async fn send(&mut self, message: ClientMessage) -> Result<u64> {
        self.id += 1;
        let text = Envelope { id: Some(self.id), re: None, message }.to_text();
        match &mut self.way {
            Way::Socket(socket) => socket.send(text).await?,
            Way::Link(link) => link.send(text).await?,
            Way::Channel(channel) => channel.send(&text).await?,
        }
        Ok(self.id)
    }

    /// Sends the last message. On a channel it arrives before the server's last word comes, and after it there is no channel.
    pub async fn leave(&mut self) -> Result<()> {
        self.send(ClientMessage::Leave(wire::Leave { code: "left".to_owned(), reason: None })).await?;
        if let Way::Channel(channel) = &mut self.way {
            while let Ok(Some(_)) = channel.next().await {}
        }
        Ok(())
    }

    /// The next message; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Envelope<ServerMessage>>> {
        match &mut self.way {
            Way::Socket(socket) => socket.next().await,
            Way::Link(link) => link.next().await,
            Way::Channel(channel) => channel.next().await,
        }
    }
}
