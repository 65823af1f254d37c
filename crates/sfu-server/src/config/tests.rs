use std::path::PathBuf;

use super::*;

fn from(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    // Each test has a file of its own: a name from the text's hash would do, a counter is plainer.
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("sfu-config-{}-{n}.toml", std::process::id()));
    std::fs::write(&path, text).expect("temporary file");
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let config = load(Some(&path), environment, false);
    std::fs::remove_file(&path).expect("own file");
    config.map_err(|e| e.to_string().replace(&path.display().to_string(), "FILE"))
}

#[test]
fn an_empty_file_gives_the_defaults() {
    assert_eq!(from("", &[]), Ok(Config::default()));
    assert_eq!(load(None, [], true).expect("valid"), Config::dev());
}

#[test]
fn a_config_survives_a_round_trip() {
    let mut config = Config::default();
    config.tls.cert = Some(PathBuf::from("/a/cert.pem"));
    config.tls.key = Some(PathBuf::from("/a/key.pem"));
    config.media.advertise = vec![
        "203.0.113.7".to_owned().try_into().expect("ip"),
        "[2001:db8::1]:443".to_owned().try_into().expect("ip:port"),
    ];
    config.drain.timeout = Period(std::time::Duration::from_millis(1500));
    config.log.format = LogFormat::Json;
    let text = toml::to_string(&config).expect("every value has a TOML form");
    assert_eq!(from(&text, &[]), Ok(config));
}

#[test]
fn the_example_is_the_committed_file_and_its_lines_hold() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config.example.toml");
    let text = example();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &text).expect("golden file");
    }
    let committed = std::fs::read_to_string(path).expect("deploy/config.example.toml");
    assert_eq!(committed, text, "run the tests with UPDATE_GOLDEN=1 and read the diff");
    assert_eq!(from(&text, &[]), Ok(Config::default()), "all lines are comments");
    // Taken as they stand, without their comment signs, the lines load too.
    let live: String = text
        .lines()
        .map(|l| match l.strip_prefix('#') {
            Some(option) if !option.starts_with(' ') => format!("{option}\n"),
            _ => format!("{l}\n"),
        })
        .collect();
    let config = from(&live, &[]).expect("the example's values are valid");
    assert_eq!(config.media.advertise.len(), 1);
    assert_eq!(config.drain, Drain::default());
}

#[test]
fn matrix_is_off_until_it_is_whole() {
    let homeserver = "[[matrix.homeservers]]\nserver_name = \"example.org\"\nurl = \"http://127.0.0.1:8008\"\n";
    let tokens = "as_token_file = \"/a\"\nhs_token_file = \"/h\"\n";
    let head = |mode: &str| format!("[matrix]\nmode = \"{mode}\"\npublic_url = \"https://sfu.example.org\"\n");
    assert_eq!(Config::default().matrix.mode, MatrixMode::Off);
    let state = "[state]\ndir = \"/var/lib/sfu-server\"\n";
    let device = "[matrix.device]\nuser_id = \"@rtc:example.org\"\npassword_file = \"p\"\n";
    for good in [
        format!("{}{homeserver}{tokens}", head("appservice")),
        format!("{}{homeserver}", head("openid")),
        format!("{}open = true\n{homeserver}", head("openid")),
        format!("{}{homeserver}", head("openid").replace("https://sfu.example.org", "http://localhost:8080")),
        format!("{state}[matrix]\nmode = \"openid\"\n{homeserver}{device}"),
    ] {
        assert_eq!(from(&good, &[]).map(|config| config.matrix.homeservers.len()), Ok(1), "{good}");
    }
    for (wrong, what) in [
        ("[matrix]\nmode = \"appservice\"\n".to_owned(), "matrix.public_url: is needed"),
        (head("openid"), "matrix.homeservers: needs at least one"),
        (format!("{}{homeserver}", head("appservice")), "matrix.homeservers: example.org: mode appservice needs"),
        (format!("{}{homeserver}{homeserver}", head("openid")), "matrix.homeservers: example.org: is there twice"),
        (format!("{}open = true\n{homeserver}{tokens}", head("appservice")), "matrix.open: "),
        (format!("{}{homeserver}", head("openid").replace("https", "http")), "matrix.public_url: `http://sfu."),
        (format!("{}{homeserver}token = 1\n", head("openid")), "matrix.homeservers[0]"),
        (format!("{}{}", head("openid"), homeserver.replace("http:", "ftp:")), "matrix.homeservers: example.org: url"),
        (format!("{}{homeserver}{device}", head("openid")), "matrix.device: needs state.dir"),
        (
            format!("{state}{}{homeserver}{}", head("openid"), device.replace("@rtc:example.org", "@rtc:other.org")),
            "matrix.device: user_id must be on one of",
        ),
        (
            format!("{state}{}{homeserver}{}", head("openid"), device.replace("password_file", "device_id")),
            "matrix.device: needs one of access_token_file and password_file",
        ),
    ] {
        let error = from(&wrong, &[]).expect_err(&wrong);
        assert!(error.starts_with(what), "{error}");
    }
}

#[test]
fn a_mistyped_name_is_refused_with_what_was_meant() {
    let cases = [
        ("[htp]\n", "FILE: there is no section `htp`; did you mean `http`?"),
        ("[http]\nlisten_on = \"x\"\n", "FILE: there is no option `http.listen_on`; did you mean `http.listen`?"),
        ("[media]\nadvertize = []\n", "FILE: there is no option `media.advertize`; did you mean `media.advertise`?"),
        ("[media]\nzzz = 1\n", "FILE: there is no option `media.zzz`"),
        ("dev = true\n", "FILE: there is no section `dev`"),
        ("http = 1\n", "http: is a section: write [http]"),
    ];
    for (text, message) in cases {
        assert_eq!(from(text, &[]), Err(message.to_owned()));
    }
}

#[test]
fn a_wrong_value_is_named_in_a_line() {
    let cases = [
        ("[http]\nlisten = \"nowhere\"\n", "http.listen: "),
        ("[http\n", "FILE:1: "),
        ("[http]\n\nlisten = \n", "FILE:3: "),
        ("[drain]\ntimeout = \"60\"\n", "drain.timeout: `60` is no duration"),
        ("[drain]\ntimeout = \"99999999999999999999s\"\n", "drain.timeout: "),
        ("[log]\nlevel = \"shout=!!\"\n", "log.level: "),
        ("[log]\nformat = \"xml\"\n", "log.format: "),
        ("[tls]\ncert = \"a\"\n", "tls.key: is needed beside tls.cert"),
        ("[media]\nlisten = []\n", "media.listen: needs an address"),
        ("[media]\nlisten = [\"0.0.0.0:1\", \"127.0.0.1:1\"]\n", "media.listen: takes at most one"),
        ("[media]\nlisten = [\"0.0.0.0:1\", \"[::]:2\"]\n", "media.listen: takes one port"),
        ("[media]\nlisten = [\"0.0.0.0:1\"]\nadvertise = [\"2001:db8::1\"]\n", "media.advertise: 2001:db8::1 needs"),
        ("[media]\nadvertise = [\"0.0.0.0\"]\n", "media.advertise: no client can reach 0.0.0.0"),
        ("[media]\nadvertise = [\"sfu.example.org\"]\n", "media.advertise[0]: `sfu.example.org` is neither"),
        ("[media]\nworkers = -1\n", "media.workers: "),
        ("[media]\nworkers = 65\n", "media.workers: can be 64 at most"),
        ("[limits]\nparticipants = 0\n", "limits.participants: cannot be 0"),
        ("[http]\nallowed_origins = [\"example.org\"]\n", "http.allowed_origins: `example.org` is no origin"),
    ];
    for (text, start) in cases {
        let message = from(text, &[]).expect_err(text);
        assert!(message.starts_with(start) && !message.contains('\n'), "{text:?} gave {message:?}");
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let config = from(
        "[http]\nlisten = \"127.0.0.1:1\"\n[media]\nworkers = 3\n",
        &[
            ("SFU_HTTP__LISTEN", "127.0.0.1:2"),
            ("SFU_MEDIA__LISTEN", "127.0.0.1:5, [::1]:5"),
            ("SFU_METRICS__ENABLED", "false"),
            ("SFU_METRICS__LISTEN", "127.0.0.1:6"),
            ("SFU_DRAIN__TIMEOUT", "2s"),
            ("SFU_CONFIG", "not an option: no double underscore"),
            ("OTHER__THING", "1"),
        ],
    )
    .expect("valid");
    assert_eq!(config.http.listen.port(), 2);
    assert_eq!(config.media.listen.len(), 2);
    assert_eq!(config.media.workers, 3);
    assert_eq!((config.metrics.enabled, config.metrics.listen.map(|a| a.port())), (false, Some(6)));
    assert_eq!(config.drain.timeout, Period::from_secs(2));
}

#[test]
fn a_mistyped_variable_is_refused_too() {
    let cases = [
        (("SFU_HTTP__LISTN", "x"), "SFU_HTTP__LISTN: there is no option `http.listn`; did you mean `http.listen`?"),
        (("SFU_MEDIA__WORKERS", "two"), "SFU_MEDIA__WORKERS: `two` is no integer"),
        (("SFU_METRICS__ENABLED", "yes"), "SFU_METRICS__ENABLED: `yes` is no boolean"),
    ];
    for (variable, message) in cases {
        assert_eq!(from("", &[variable]), Err(message.to_owned()));
    }
}

#[test]
fn metrics_are_served_beside_the_page_only_in_dev() {
    assert_eq!(Config::dev().metrics_place(), MetricsPlace::OnHttp);
    assert_eq!(Config::default().metrics_place(), MetricsPlace::Own(METRICS_LISTEN));
    let mut config = Config::dev();
    config.metrics.enabled = false;
    assert_eq!(config.metrics_place(), MetricsPlace::Nowhere);
}
