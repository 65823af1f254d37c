//! Janus, its VideoRoom plugin, with our lean clients. Its configuration is the one that its package brings.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::namespace;
use super::process::{self, Process};
use crate::fanout::Room;
use crate::fanout::window::{self, Window};
use crate::http;
use crate::load::Load;
use crate::machine::Cores;

pub const INSTALL: &str = "apt-get install janus";
/// Where the package's configuration has its HTTP interface.
const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8088);
const ROOM: u64 = 4242;
/// Janus' id of our publisher.
const FEED: u64 = 77;
const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

pub fn find() -> Option<PathBuf> {
    process::in_path("janus")
}

/// One run.
pub fn measure(binary: &PathBuf, room: Room, cores: Cores) -> Result<Window> {
    let janus = Process::start(&mut Command::new(binary), cores, HTTP)?;
    let mut load = Load::at(HTTP, namespace::ADDRESS.into())?;
    let session = Session::create()?;
    let control = session.attach()?;
    let (audio, video) = ("opus", "vp8");
    let create =
        json!({ "request": "create", "room": ROOM, "publishers": 2, "audiocodec": audio, "videocodec": video });
    let created = session.request(control, &create)?;
    ensure!(created["plugindata"]["data"]["videoroom"] == "created", "no room: {created}");

    let (publisher, offer) = load.offer(room.plan(0))?;
    let handle = session.attach()?;
    let join = json!({ "request": "joinandconfigure", "ptype": "publisher", "room": ROOM, "id": FEED });
    let answer = session.message(handle, &join, Some(("offer", &offer)))?;
    load.handle_answer(publisher, sdp(&answer)?)?;
    connected(&mut load, publisher)?;
    // Subscribers are told its tracks, and Janus knows them only with its first packets.
    window::publish(&mut load, room);
    load.run_for(Duration::from_millis(500))?;

    for index in 1..room.clients() {
        let handle = session.attach()?;
        let join = json!({ "request": "join", "ptype": "subscriber", "room": ROOM, "streams": [{ "feed": FEED }] });
        let offer = session.message(handle, &join, None)?;
        let (member, answer) = load.answer(room.plan(index), sdp(&offer)?)?;
        load.members[member].client.expect(0, room.plan(0).id);
        session.message(handle, &json!({ "request": "start" }), Some(("answer", &answer)))?;
        connected(&mut load, member)?;
    }
    // Its session ends after a minute in which nobody asks for anything.
    session.keep_alive()?;
    let window = window::measure(&mut load, room, Some(janus.pid()))?;
    drop(janus);
    Ok(window)
}

fn connected(load: &mut Load, member: usize) -> Result<()> {
    load.run_until("connecting to Janus", JOIN_TIMEOUT, |load| load.members[member].client.connected_at.is_some())
}

fn sdp(event: &Value) -> Result<&str> {
    event["jsep"]["sdp"].as_str().with_context(|| format!("no session description in {event}"))
}

/// One session of Janus' HTTP interface; a handle in it for each client.
struct Session(u64);

impl Session {
    fn create() -> Result<Self> {
        let answer = post("/janus", json!({ "janus": "create" }))?;
        Ok(Self(answer["data"]["id"].as_u64().context("no session")?))
    }

    fn path(&self) -> String {
        format!("/janus/{}", self.0)
    }

    fn attach(&self) -> Result<u64> {
        let answer = post(&self.path(), json!({ "janus": "attach", "plugin": "janus.plugin.videoroom" }))?;
        answer["data"]["id"].as_u64().context("no handle")
    }

    fn keep_alive(&self) -> Result<()> {
        post(&self.path(), json!({ "janus": "keepalive" })).map(drop)
    }

    /// A request that is answered at once.
    fn request(&self, handle: u64, body: &Value) -> Result<Value> {
        post(&format!("{}/{handle}", self.path()), json!({ "janus": "message", "body": body }))
    }

    /// A request that is answered by an event.
    fn message(&self, handle: u64, body: &Value, jsep: Option<(&str, &str)>) -> Result<Value> {
        let mut message = json!({ "janus": "message", "body": body });
        if let Some((kind, sdp)) = jsep {
            message["jsep"] = json!({ "type": kind, "sdp": sdp });
        }
        post(&format!("{}/{handle}", self.path()), message)?;
        let end = Instant::now() + ANSWER_TIMEOUT;
        while Instant::now() < end {
            let events: Value = serde_json::from_str(&http::get(HTTP, &format!("{}?maxev=100", self.path()))?)?;
            for event in events.as_array().into_iter().flatten() {
                if event["janus"] != "event" || event["sender"].as_u64() != Some(handle) {
                    continue;
                }
                let data = &event["plugindata"]["data"];
                ensure!(data["error"].is_null(), "Janus refused: {data}");
                return Ok(event.clone());
            }
        }
        bail!("Janus did not answer {body} within {ANSWER_TIMEOUT:?}")
    }
}

fn post(path: &str, mut body: Value) -> Result<Value> {
    body["transaction"] = json!("bench");
    let answer: Value = serde_json::from_str(&http::post(HTTP, path, body.to_string())?)?;
    ensure!(answer["janus"] != "error", "Janus refused: {answer}");
    Ok(answer)
}
