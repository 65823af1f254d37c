//! The built binary, as a supervisor and an operator see it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Client, get, within};

fn sfu_server(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sfu-server"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("SFU_HTTP__LISTEN", "127.0.0.1:0").env("SFU_MEDIA__LISTEN", "127.0.0.1:0");
    command
}

/// Ended with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for its end, and for the rest of what it says: standard output and standard error.
    async fn ended(mut self) -> (ExitStatus, String, String) {
        let [mut out, mut err] = [String::new(), String::new()];
        let waiting = tokio::task::spawn_blocking(move || {
            let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
            // The pipes end with the process.
            stdout.into_iter().for_each(|mut s| drop(s.read_to_string(&mut out)));
            stderr.into_iter().for_each(|mut s| drop(s.read_to_string(&mut err)));
            (self.0.wait().expect("waited"), out, err)
        });
        within("the end of the process", waiting).await.expect("no panic")
    }
}

/// Starts with `--dev`; returns the process and the page that it names.
async fn start(change: impl FnOnce(&mut Command)) -> (Running, String) {
    let mut command = sfu_server(&["--dev"]);
    change(&mut command);
    let mut child = command.spawn().expect("started");
    let mut out = BufReader::with_capacity(1, child.stdout.take().expect("piped"));
    let (line, out) = within(
        "the first line",
        tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            out.read_line(&mut line).expect("readable");
            (line, out)
        }),
    )
    .await
    .expect("no panic");
    child.stdout = Some(out.into_inner());
    (Running(child), line)
}

fn address(line: &str) -> std::net::SocketAddr {
    let rest = line.strip_prefix("open: http://localhost:").unwrap_or_else(|| panic!("{line:?}"));
    let (port, rest) = rest.split_once("/call/").expect("a call");
    let (room, secret) = rest.trim_end().split_once('#').expect("a secret");
    let is_text = |t: &str| t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    assert!(room.len() >= 12 && secret.len() >= 22 && is_text(room) && is_text(secret), "{line:?}");
    format!("127.0.0.1:{port}").parse().expect("a port")
}

#[tokio::test]
async fn it_says_where_to_open_it_and_sigterm_ends_it_well() {
    let path = std::env::temp_dir().join(format!("sfu-process-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let systemd = UnixDatagram::bind(&path).expect("bound");
    systemd.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    let heard = || {
        let mut buffer = [0; 64];
        let length = systemd.recv(&mut buffer).expect("a state");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let (process, line) = start(|command| {
        command.env("NOTIFY_SOCKET", path.as_os_str());
    })
    .await;
    assert_eq!(heard(), "READY=1");
    assert_eq!(get(address(&line), "/readyz").await.status, 200);
    process.signal("HUP");
    let began = Instant::now();
    process.signal("TERM");
    let (status, out, err) = process.ended().await;
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!((status.code(), out.as_str()), (Some(0), ""), "one line on standard output; {err}");
    // Nobody was there, so there was nothing to wait for.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(err.contains("ANYBODY WHO CAN REACH THE PAGE IS LET IN"), "{err}");
    std::fs::remove_file(&path).expect("own file");
}

#[tokio::test]
async fn sigterm_ends_it_within_the_drain_timeout_and_five_seconds() {
    let (process, line) = start(|command| {
        command.env("SFU_DRAIN__TIMEOUT", "200ms");
    })
    .await;
    let mut stubborn = Client::join(address(&line), "room").await;
    let began = Instant::now();
    process.signal("TERM");
    assert_eq!(stubborn.closed().await.0, 4503);
    let (status, ..) = process.ended().await;
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_millis(5200), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_second_signal_waits_for_nobody() {
    let (process, line) = start(|_| {}).await;
    let mut ada = Client::join(address(&line), "room").await;
    process.signal("INT");
    assert_eq!(ada.message().await["t"], "move");
    process.signal("TERM");
    assert_eq!(ada.closed().await.0, 4503);
    assert_eq!(process.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn the_log_has_no_names_rooms_addresses_or_tokens() {
    let (process, line) = start(|command| {
        command.env("SFU_LOG__FORMAT", "json").env("SFU_LOG__LEVEL", "trace");
    })
    .await;
    let to = address(&line);
    let token = crate::harness::token(to, "canary-room", "canary-name").await;
    let mut client = Client::open(to).await;
    let from = client.0.get_ref().local_addr().expect("connected");
    client.send(serde_json::json!({ "t": "hello", "b": { "v": 1, "token": token } })).await;
    assert_eq!(client.message().await["t"], "welcome");
    process.signal("TERM");
    assert_eq!(client.message().await["t"], "move");
    client.send(serde_json::json!({ "t": "leave", "b": { "code": "left" } })).await;
    let (status, _, err) = process.ended().await;
    assert_eq!(status.code(), Some(0));
    for canary in ["canary", token.as_str(), &from.to_string(), "127.0.0.1"] {
        assert!(!err.contains(canary), "{canary} in {err}");
    }
    assert!(!err.is_empty());
    for line in err.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(event["level"].is_string() && event["message"].is_string(), "{line}");
    }
}

async fn output(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = sfu_server(arguments);
    command.envs(environment.iter().copied());
    let child = command.spawn().expect("started");
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    within("the end of the process", output).await.expect("no panic").expect("waited")
}

#[tokio::test]
async fn an_operators_mistake_is_one_line_and_status_1() {
    for (arguments, variable, value, message) in [
        (
            &["--dev"][..],
            "SFU_HTTP__LISTN",
            "x",
            "sfu-server: SFU_HTTP__LISTN: there is no option `http.listn`; did you mean `http.listen`?\n",
        ),
        (&["--config", "/nonexistent.toml"], "X", "", "sfu-server: cannot read /nonexistent.toml: "),
        (&["config", "check"], "SFU_DRAIN__TIMEOUT", "soon", "sfu-server: drain.timeout: `soon` is no duration"),
    ] {
        let output = output(arguments, &[(variable, value)]).await;
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(err.starts_with(message) && err.lines().count() == 1, "{err}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[tokio::test]
async fn the_command_line_tells_about_itself() {
    let example = output(&["config", "example"], &[]).await;
    assert!(example.status.success() && example.stdout.starts_with(b"# Configuration of sfu-server."));
    let check = output(&["config", "check"], &[]).await;
    assert!(check.status.success(), "{check:?}");
    let version = output(&["--version"], &[]).await;
    assert_eq!(String::from_utf8_lossy(&version.stdout).trim(), concat!("sfu-server ", env!("CARGO_PKG_VERSION")));
    assert_eq!(output(&["--nonsense"], &[]).await.status.code(), Some(2));
}
