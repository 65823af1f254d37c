//! The command line.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser, Subcommand};
use str0m::crypto::dtls::SrtpProfile;

use crate::client::publisher::MediaShape;
use crate::machine::Cores;
use crate::run::{Profile, Source};
use crate::server::{self, Server};
use crate::{churn, engine, fanout, gate, idle, latency, limit, machine, peers, report, run, stats, storm};

/// Load harness: what a media server costs, counted at real clients
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Calls of real WebRTC clients against a server: join times, bitrates, loss, freezes, latency, server load
    Run(RunArgs),
    /// What becomes of a call of real Matrix users when somebody is kicked, asks for what is not theirs, or means harm
    #[command(subcommand)]
    Matrix(Scenario),
    /// CPU per forwarded packet, latency, memory and join time of a server in a call of lean clients
    Fanout(FanoutArgs),
    /// What connected peers cost that carry nothing
    Idle(IdleArgs),
    /// What a server adds to a packet's way when its core is half busy
    Latency(LatencyArgs),
    /// Many receivers join within a moment: key-frame requests that reach the publisher, time to the first picture
    Storm(StormArgs),
    /// Very many clients come and go: memory, descriptors and threads must be back where they began
    Churn(ChurnArgs),
    /// The same packets, sealed and sent by a bare loop: the limit of this machine
    Limit(LimitArgs),
    /// The engine alone, in process and without sockets: CPU and allocations per forwarded packet
    Engine(EngineArgs),
    /// Janus and LiveKit under the load that ours has, and how many times as much CPU they need
    Peers(PeersArgs),
    /// Instructions and allocations per forwarded packet against the committed rows: needs no quiet machine
    Gate(GateArgs),
}

/// What publishers send.
#[derive(Debug, Clone, Args)]
pub struct MediaArgs {
    /// Audio: a packet each 20 ms. Otherwise video: 25 frames a second of 8 packets
    #[arg(long)]
    audio: bool,
    /// Bytes of an RTP payload [default: 1100, audio 80]
    #[arg(long)]
    size: Option<usize>,
    /// Each video payload is up to so many bytes longer or shorter
    #[arg(long, default_value_t = 1)]
    size_jitter: usize,
}

impl MediaArgs {
    pub fn shape(&self) -> MediaShape {
        match self.audio {
            true => MediaShape::audio(self.size.unwrap_or(80)),
            false => MediaShape::video(self.size.unwrap_or(1100), self.size_jitter),
        }
    }
}

/// Which server.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// A server that runs already with --dev, as http://host:port. Without it one is started and pinned
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Process of that server on this machine, to measure its CPU time and memory
    #[arg(long, requires = "server")]
    server_pid: Option<u32>,
    /// The server to start [default: sfu-server beside this program]
    #[arg(long, value_name = "FILE")]
    server_binary: Option<PathBuf>,
}

impl ServerArgs {
    pub fn start(&self, cores: Cores) -> Result<Server> {
        if let Some(url) = &self.server {
            let host = url.strip_prefix("http://").context("--server wants http://host:port")?;
            let mut addresses = host.trim_end_matches('/').to_socket_addrs().context("--server")?;
            let address: SocketAddr = addresses.next().context("--server names no address")?;
            return Ok(Server::running(address, self.server_pid));
        }
        let binary = self.server_binary.clone().map_or_else(server::default_binary, Ok)?;
        Server::start(&binary, cores)
    }
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[arg(long, default_value_t = 1)]
    pub rooms: usize,
    /// In each room
    #[arg(long, default_value_t = 4)]
    pub participants: usize,
    /// What is published. A screen only by one in each room
    #[arg(long, value_enum, value_delimiter = ',', default_value = "audio,video")]
    pub publish: Vec<Source>,
    #[arg(long, value_enum, default_value = "gallery")]
    pub profile: Profile,
    /// The measured window, from when all have joined, such as 60s
    #[arg(long, default_value = "60s")]
    pub duration: Period,
    /// Participants that join in a second
    #[arg(long, default_value_t = 10.0, value_parser = join_rate)]
    pub join_rate: f64,
    /// Cameras send one layer of 640 × 360 instead of two, of 320 × 180 and 1280 × 720
    #[arg(long)]
    pub no_simulcast: bool,
    /// A server that runs already, as http(s)://host:port or ws(s)://host:port/path. Without it one is started and pinned
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Process of that server, if it is on this machine, to measure its CPU time and memory
    #[arg(long, requires = "server")]
    pub server_pid: Option<u32>,
    /// The server to start [default: sfu-server beside this program]
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub server_binary: Option<PathBuf>,
    /// The server's auth.signing_key_file, to sign tokens with. Without it the server must run with --dev
    #[arg(long, value_name = "FILE", requires = "focus")]
    pub signing_key_file: Option<PathBuf>,
    /// The server's focus.name, for tokens signed here
    #[arg(long, value_name = "NAME", requires = "signing_key_file")]
    pub focus: Option<String>,
    /// A certificate (PEM) to trust besides the well-known ones
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    #[command(flatten)]
    pub matrix: MatrixArgs,
    /// The whole report as JSON into a file, or as the last line on stdout (-). The summary is always that last line
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The report as a page with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Participants that are users of homeservers.
#[derive(Debug, Clone, Args)]
pub struct MatrixArgs {
    /// A homeserver whose users take part, as http(s)://host:port; several take turns. The focus is the one that they
    /// announce, or --server
    #[arg(long, value_name = "URL")]
    pub homeserver: Vec<String>,
    /// File with the homeserver's registration_shared_secret, to make users with; one for all, or as many as homeservers
    #[arg(long, value_name = "FILE", requires = "homeserver")]
    pub registration_secret_file: Vec<PathBuf>,
    /// File with users that there are, on each line a homeserver's URL, a user name and a password
    #[arg(long, value_name = "FILE", requires = "homeserver", conflicts_with = "registration_secret_file")]
    pub accounts: Option<PathBuf>,
    /// Somebody else who is invited to each room and may take part with another client; several can be named. Stderr says
    /// which room it is
    #[arg(long, value_name = "USER", requires = "homeserver")]
    pub guest: Vec<String>,
    /// The focus looks after the members' scheduled leaves
    #[arg(long, requires = "homeserver")]
    pub delegate_leave: bool,
    /// How members say that they are in the call. `sticky` is `state` at homeservers without sticky events (MSC4354)
    #[arg(long, value_enum, default_value_t = MemberEvents::State, requires = "homeserver")]
    pub member_events: MemberEvents,
    /// How members reach the focus
    #[arg(long, value_enum, default_value_t = Carriage::Websocket, requires = "homeserver")]
    pub carriage: Carriage,
    #[command(flatten)]
    pub weather: WeatherArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum MemberEvents {
    /// Room state, which all clients read
    State,
    /// Sticky events, encrypted
    Sticky,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Carriage {
    Websocket,
    /// By Olm-encrypted to-device messages, until a data channel is open. Nothing is asked of the focus over HTTP
    ToDevice,
}

/// What becomes of to-device messages between members and the focus's device.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct WeatherArgs {
    /// Share that is lost, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, requires = "carriage")]
    pub loss: f64,
    /// Share that comes late, by up to 1.5 s
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, requires = "carriage")]
    pub reorder: f64,
    /// Share that comes twice
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, requires = "carriage")]
    pub replay: f64,
    /// What becomes of a member's n-th message is a function of this number
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}

impl WeatherArgs {
    /// Nothing happens to messages.
    #[cfg_attr(not(feature = "matrix"), expect(dead_code, reason = "nobody else has such messages"))]
    pub fn is_fair(&self) -> bool {
        self.loss.max(self.reorder).max(self.replay) == 0.0
    }
}

/// A scenario with users of homeservers.
#[derive(Debug, Subcommand)]
pub enum Scenario {
    /// Somebody is kicked from the room again and again: time to silence, and whether they stay out
    Kick(KickArgs),
    /// Random requests for tokens against a model of the rules: is anybody let in who must not be?
    Authorise(AuthoriseArgs),
    /// One member means harm while the others call: are their media as they were before?
    Hostile(HostileArgs),
    /// The focus is restarted, by somebody else: does everybody come back?
    Comeback(ComebackArgs),
}

#[derive(Debug, Args)]
pub struct ScenarioArgs {
    #[command(flatten)]
    pub matrix: MatrixArgs,
    /// The focus, if the homeservers announce none
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// A certificate (PEM) to trust besides the well-known ones
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct KickArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// In the call, whoever is kicked included
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..))]
    pub participants: u8,
    #[arg(long, default_value_t = 100)]
    pub kicks: usize,
}

#[derive(Debug, Args)]
pub struct AuthoriseArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u8).range(2..))]
    pub users: u8,
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..))]
    pub rooms: u8,
    #[arg(long, default_value_t = 10_000)]
    pub requests: usize,
    /// After so many requests, some join, leave, are kicked, banned or invited
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
    pub every: u32,
}

#[derive(Debug, Args)]
pub struct ComebackArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..))]
    pub participants: u8,
    /// Restarts to wait for
    #[arg(long, default_value_t = 1)]
    pub returns: usize,
    /// For each step, such as 60s
    #[arg(long, default_value = "60s")]
    pub patience: Period,
}

#[derive(Debug, Args)]
pub struct HostileArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// In the call, whoever means harm not included
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..))]
    pub participants: u8,
    /// Without and then with the attacks, such as 30s
    #[arg(long, default_value = "30s")]
    pub duration: Period,
    /// Attacks of each kind in a second
    #[arg(long, default_value_t = 5.0, value_parser = join_rate)]
    pub rate: f64,
}

/// Joins a second; a rate of a million is all at once.
fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number")?;
    (0.0..=1.0).contains(&share).then_some(share).ok_or_else(|| "not from 0 to 1".to_owned())
}

fn join_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if (0.01..=1e6).contains(&rate) { Ok(rate) } else { Err("0.01 to 1000000".to_owned()) }
}

#[derive(Debug, Args)]
pub struct FanoutArgs {
    /// Receivers. As many as publishers: one room where all publish and get all others
    #[arg(long, default_value_t = 50)]
    pub subscribers: usize,
    #[arg(long, default_value_t = 1)]
    pub publishers: usize,
    /// Further m-lines of each receiver, subscribed to tracks that send nothing
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub idle_streams: usize,
    /// The measured window, such as 10s
    #[arg(long, default_value = "10s")]
    pub duration: Period,
    #[arg(long, default_value_t = 5)]
    pub runs: usize,
    /// Leaves the bare loop out
    #[arg(long)]
    pub no_limit: bool,
    /// Accepted for scripts: the last line on stdout always is JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub media: MediaArgs,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct IdleArgs {
    #[arg(long, default_value_t = 200)]
    pub peers: usize,
    /// Receiving video m-lines of each: compare two figures, and you know what an m-line costs that carries nothing
    #[arg(long, default_value_t = 1)]
    pub video_slots: usize,
    #[arg(long, default_value = "10s")]
    pub duration: Period,
    /// Accepted for scripts: the last line on stdout always is JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct LatencyArgs {
    #[arg(long, default_value_t = 50)]
    pub subscribers: usize,
    /// Share of the server's core that shall be in use; publishers are added until it is
    #[arg(long, default_value_t = 0.5)]
    pub core_share: f64,
    /// The measured window of each step, such as 10s
    #[arg(long, default_value = "5s")]
    pub duration: Period,
    /// Accepted for scripts: the last line on stdout always is JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub media: MediaArgs,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct StormArgs {
    #[arg(long, default_value_t = 500)]
    pub subscribers: usize,
    /// They join evenly spread over this time
    #[arg(long, default_value = "1s")]
    pub within: Period,
    /// Accepted for scripts: the last line on stdout always is JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct ChurnArgs {
    #[arg(long, default_value_t = 100_000)]
    pub joins: usize,
    /// Clients of one group: they join together, and the next group comes when all have left
    #[arg(long, default_value_t = 25)]
    pub at_once: usize,
    /// Joins before the first measurement: what a server sets up once is no growth
    #[arg(long, default_value_t = 1000)]
    pub warm_up: usize,
    /// A line after so many joins
    #[arg(long, default_value_t = 10_000)]
    pub report_each: usize,
    /// How long the server has to come to rest before each of the two measurements
    #[arg(long, default_value = "10s")]
    pub settle: Period,
    /// Accepted for scripts: the last line on stdout always is JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
struct LimitArgs {
    /// Receivers of each publisher
    #[arg(long, default_value_t = 50)]
    subscribers: usize,
    #[arg(long, default_value_t = 1)]
    publishers: usize,
    #[arg(long, default_value = "5s")]
    duration: Period,
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// AES-128-GCM instead of AES-256-GCM
    #[arg(long)]
    aes128: bool,
    #[command(flatten)]
    media: MediaArgs,
}

#[derive(Debug, Args)]
pub struct EngineArgs {
    /// As for fanout
    #[arg(long, default_value_t = 50)]
    pub subscribers: usize,
    #[arg(long, default_value_t = 1)]
    pub publishers: usize,
    /// Seconds of media, in virtual time
    #[arg(long, default_value = "10s")]
    pub duration: Period,
    #[arg(long, default_value_t = 5)]
    pub runs: usize,
    /// Leaves CPU time out: under valgrind it says nothing
    #[arg(long)]
    pub no_clock: bool,
    /// Lists where the engine allocates. The times then say nothing
    #[arg(long)]
    pub trace_allocations: bool,
    #[command(flatten)]
    pub media: MediaArgs,
}

#[derive(Debug, Args)]
pub struct PeersArgs {
    /// Debian's Janus. Neither of both: all that are installed
    #[arg(long)]
    pub janus: bool,
    /// LiveKit, from `make bench-rivals`
    #[arg(long)]
    pub livekit: bool,
    #[arg(long, default_value_t = 50)]
    pub subscribers: usize,
    /// The measured window, such as 10s
    #[arg(long, default_value = "10s")]
    pub duration: Period,
    #[arg(long, default_value_t = 5)]
    pub runs: usize,
    /// Our server [default: sfu-server beside this program]
    #[arg(long, value_name = "FILE")]
    pub server_binary: Option<PathBuf>,
    /// Accepted for scripts: the last line on stdout always is JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct GateArgs {
    /// The file with the committed rows
    #[arg(long, default_value = "benches/scoreboard.md", value_name = "FILE")]
    pub scoreboard: PathBuf,
    /// Writes what was counted into the rows instead of checking them
    #[arg(long)]
    pub update: bool,
}

impl Cli {
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Run(args) => run::run(&args),
            Command::Matrix(scenario) => run::scenario(&scenario),
            // These start programs that shall not inherit our one core.
            Command::Gate(args) => gate::run(&args),
            Command::Peers(args) => {
                peers::enter()?;
                peers::run(&args, pinned()?)
            }
            Command::Fanout(args) => fanout::run(&args, pinned()?),
            Command::Idle(args) => idle::run(&args, pinned()?),
            Command::Latency(args) => latency::run(&args, pinned()?),
            Command::Storm(args) => storm::run(&args, pinned()?),
            Command::Churn(args) => churn::run(&args, pinned()?),
            Command::Limit(args) => run_limit(&args, pinned()?),
            Command::Engine(args) => engine::run(&args, pinned()?),
        }
    }
}

/// Puts the load on its one core.
fn pinned() -> Result<Cores> {
    let cores = Cores::find()?;
    machine::raise_open_files()?;
    machine::pin(cores.load)?;
    Ok(cores)
}

fn run_limit(args: &LimitArgs, cores: Cores) -> Result<()> {
    ensure!(args.publishers > 0 && args.subscribers > 0, "at least one of each");
    let profile = if args.aes128 { SrtpProfile::AEAD_AES_128_GCM } else { SrtpProfile::AEAD_AES_256_GCM };
    let shape = args.media.shape();
    let duration = args.duration.into();
    let load = limit::Load { publishers: args.publishers, receivers: args.subscribers, shape, profile, duration };
    let mut runs = Vec::new();
    for _ in 0..args.runs.max(1) {
        let ns = limit::measure(load, cores)?;
        eprintln!("  {ns:.0} ns per packet");
        runs.push(ns);
    }
    let median = stats::median_by(&runs, |ns| *ns).context("no runs")?;
    report::print(&report::Limit {
        command: "limit",
        subscribers: args.subscribers,
        publishers: args.publishers,
        audio: shape.audio,
        size: shape.size,
        cipher: format!("{profile:?}"),
        limit_ns: runs[median],
        limit_min: runs.iter().copied().fold(f64::INFINITY, f64::min),
        limit_max: runs.iter().copied().fold(0.0, f64::max),
    })
}

/// `500ms`, `10s`, `2m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(Duration);

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no duration: write one like 500ms, 10s or 2m");
        let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = text[..unit].parse().map_err(|_| wrong())?;
        let ms = match &text[unit..] {
            "ms" => Some(number),
            "s" => number.checked_mul(1000),
            "m" => number.checked_mul(60_000),
            _ => None,
        };
        ms.filter(|ms| *ms > 0).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_arguments_of_run() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.command);
        let full = "sfu-bench run --rooms 2 --participants 3 --publish audio,video,screen --profile webinar \
            --duration 60s --server http://127.0.0.1:8080";
        let Ok(Command::Run(args)) = parse(full) else { panic!("it must parse") };
        assert_eq!((args.rooms, args.participants, args.profile), (2, 3, Profile::Webinar));
        assert_eq!(args.publish, [Source::Audio, Source::Video, Source::Screen]);
        let Ok(Command::Run(args)) = parse("sfu-bench run") else { panic!("all have defaults") };
        assert_eq!((args.publish, args.profile), (vec![Source::Audio, Source::Video], Profile::Gallery));
        for bad in ["--publish smell", "--join-rate 0", "--server-pid 1", "--signing-key-file x", "--profile party"] {
            assert!(parse(&format!("sfu-bench run {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!("1500ms".parse(), Ok(Period(Duration::from_millis(1500))));
        assert_eq!("2m".parse(), Ok(Period(Duration::from_secs(120))));
        for bad in ["10", "s", "0s", "-1s", "1h", "99999999999999999999s"] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }
}
