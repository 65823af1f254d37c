//! To-device messages. A task owns the link and goes on when the session has moved to the data channel: the focus has yet to
//! hear that its last words came.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use focus_signaling::Envelope;
use focus_signaling::todevice::client::Output;
use focus_signaling::todevice::{Claims, Client, Content, GIVE_UP};
use focus_signaling::wire::ServerMessage;
use tokio::sync::mpsc;

const QUEUED_MAX: usize = 32;
/// For a link with nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// A way to the focus's device and back, for one link.
pub struct Post {
    pub claims: Claims,
    /// To be encrypted for that device, and sent.
    pub outgoing: mpsc::Sender<Content>,
    /// Decrypted, and from that very device.
    pub incoming: mpsc::Receiver<Content>,
}

/// Handle of the task.
pub struct Link {
    texts: mpsc::Sender<String>,
    news: mpsc::Receiver<News>,
}

enum News {
    Message(Box<Envelope<ServerMessage>>),
    Closed(u16),
    Lost,
}

impl Link {
    pub fn open(post: Post) -> Self {
        let (texts, to_send) = mpsc::channel(QUEUED_MAX);
        let (tell, news) = mpsc::channel(QUEUED_MAX);
        tokio::spawn(drive(post, to_send, tell));
        Self { texts, news }
    }

    pub async fn send(&mut self, text: String) -> Result<()> {
        self.texts.send(text).await.ok().context("the link has ended")
    }

    pub async fn next(&mut self) -> Result<Option<Envelope<ServerMessage>>> {
        match self.news.recv().await {
            Some(News::Message(message)) => Ok(Some(*message)),
            Some(News::Closed(code)) => bail!("the focus closed the link: {code}"),
            Some(News::Lost) => bail!("the focus's device does not answer"),
            None => Ok(None),
        }
    }
}

async fn drive(mut post: Post, mut texts: mpsc::Receiver<String>, tell: mpsc::Sender<News>) {
    let mut client = Client::new(post.claims.clone(), format!("{:032x}", rand::random::<u128>()));
    // When the session has moved on, or ended.
    let mut dropped = None;
    loop {
        let deadline = loop {
            match client.poll_output() {
                Output::Transmit(content) => {
                    let _ = post.outgoing.send(content).await;
                }
                // Nobody listens any more when the session has moved on.
                Output::Message(envelope) => drop(tell.try_send(News::Message(Box::new(envelope)))),
                Output::Closed(code) => drop(tell.try_send(News::Closed(code))),
                Output::Lost => drop(tell.try_send(News::Lost)),
                Output::Timeout(at) => break at,
            }
        };
        let until = dropped.map(|at: Instant| at + GIVE_UP);
        let now = Instant::now();
        if client.is_over() || until.is_some_and(|until| until <= now) {
            return;
        }
        let wake = deadline.into_iter().chain(until).min().unwrap_or(now + IDLE);
        tokio::select! {
            text = texts.recv(), if dropped.is_none() => match text {
                Some(text) => {
                    if client.send_text(Instant::now(), text).is_err() {
                        return;
                    }
                }
                None => dropped = Some(Instant::now()),
            },
            content = post.incoming.recv() => match content {
                Some(content) => client.handle_content(Instant::now(), content),
                None => return,
            },
            () = tokio::time::sleep_until(wake.into()) => client.handle_timeout(Instant::now()),
        }
    }
}
