use serde_json::{Value, json};

use super::*;
use crate::focus_selection::FocusSelection;
use crate::testing::member;

fn sfu(url: &str) -> Value {
    json!({"type": "rust_sfu", "url": url})
}

fn focus(url: &str) -> RustSfu {
    RustSfu::at_url(url)
}

struct Me {
    membership: Membership,
    kinds: Vec<String>,
    own: Option<RustSfu>,
    relayed: Vec<RustSfu>,
    has_to_device: bool,
    topology: Topology,
}

impl Me {
    fn new() -> Self {
        Self {
            membership: member("@me:x", &[sfu("wss://mine"), json!({"type": "full_mesh"})]),
            kinds: vec!["rust_sfu".to_owned(), "full_mesh".to_owned()],
            own: Some(focus("wss://mine")),
            relayed: Vec::new(),
            has_to_device: false,
            topology: Topology::Focus { until: None },
        }
    }

    fn path<'a>(&self, other: &'a Membership) -> Path<'a> {
        let means = Means {
            me: &self.membership.key,
            can_subscribe: &self.kinds,
            has_to_device: self.has_to_device,
            own_focus: self.own.as_ref(),
            relayed: &self.relayed,
            topology: self.topology,
        };
        path(&means, other, &[other])
    }

    fn why(&self, transports: &[Value]) -> &'static str {
        match self.path(&member("@other:y", transports)) {
            Path::Unreachable(why) => why.as_str(),
            path => panic!("{path:?}"),
        }
    }
}

#[test]
fn the_shortest_way() {
    let mut me = Me::new();
    let livekit = json!({"type": "livekit", "livekit_service_url": "https://lk"});
    let same = member("@other:y", &[livekit.clone(), sfu("wss://mine")]);
    assert!(matches!(me.path(&same), Path::SameFocus(_)));
    let other = member("@other:y", &[livekit, sfu("wss://theirs")]);
    assert!(matches!(me.path(&other), Path::Direct(Transport::RustSfu(_))));
    me.kinds.push("livekit".to_owned());
    assert!(matches!(me.path(&other), Path::Direct(Transport::RustSfu(_))), "ours before LiveKit");
    me.relayed.push(focus("wss://theirs"));
    assert!(matches!(me.path(&other), Path::Relayed(_)));
    me.topology = Topology::Mesh;
    assert!(matches!(me.path(&other), Path::Relayed(_)), "who takes no part in the mesh");
    let able = member("@other:y", &[sfu("wss://theirs"), json!({"type": "full_mesh"})]);
    assert_eq!(me.path(&able), Path::Mesh);
    assert_eq!(me.path(&me.membership), Path::Myself);
}

#[test]
fn nobody_is_hidden() {
    let mut me = Me::new();
    let device = json!({"type": "rust_sfu", "matrix": {"user_id": "@sfu:y", "device_id": "D"}});
    let livekit = json!({"type": "livekit", "livekit_service_url": "https://lk"});
    let pigeons = json!({"type": "org.example.pigeons"});
    assert_eq!(me.why(&[]), "no_transport");
    assert_eq!(me.why(std::slice::from_ref(&livekit)), "livekit_only");
    assert_eq!(me.why(std::slice::from_ref(&pigeons)), "unknown_transport");
    assert_eq!(me.why(std::slice::from_ref(&device)), "needs_to_device");
    assert_eq!(me.why(&[json!({"type": "full_mesh"})]), "mesh_only");
    assert_eq!(me.why(&[json!({"type": "rust_sfu"})]), "unknown_transport", "it lacks an address");
    assert_eq!(me.why(&[pigeons, livekit]), "livekit_only", "what tells most");
    let lot = FocusSelection::Unknown("by_lot".to_owned());
    let by_lot = Membership { selection: lot, ..member("@other:y", &[sfu("wss://theirs")]) };
    assert_eq!(me.path(&by_lot), Path::Unreachable(Why::UnknownSelection));
    me.has_to_device = true;
    assert!(matches!(me.path(&member("@other:y", &[device])), Path::Direct(_)));
}

#[test]
fn connections_are_counted_once() {
    let me = Me::new();
    let (a, b) = (member("@a:y", &[sfu("wss://theirs")]), member("@b:y", &[sfu("wss://theirs")]));
    let members = [&me.membership, &a, &b];
    let means = Means {
        me: &me.membership.key,
        can_subscribe: &me.kinds,
        has_to_device: false,
        own_focus: me.own.as_ref(),
        relayed: &[],
        topology: me.topology,
    };
    let own = Transport::RustSfu(focus("wss://mine"));
    let connections = connections(Some(&own), &paths(&means, &members));
    assert_eq!(connections, [&own, &a.transports[0]]);
}

#[test]
fn the_other_half() {
    let me = Me::new().membership;
    let livekit = member("@lk:y", &[json!({"type": "livekit", "livekit_service_url": "https://lk"})]);
    let other = member("@other:y", &[sfu("wss://theirs")]);
    let members = [&me, &livekit, &other];
    let topology = Topology::Focus { until: None };
    assert!(is_heard_by(&me, &other, &members, topology));
    assert!(!is_heard_by(&me, &livekit, &members, topology), "it has LiveKit only");
    assert!(!is_heard_by(&livekit, &me, &members, topology));
    assert!(!is_heard_by(&member("@mesh:y", &[json!({"type": "full_mesh"})]), &me, &members, topology));
    assert!(is_heard_by(&member("@mesh:y", &[json!({"type": "full_mesh"})]), &me, &members, Topology::Mesh));
}
