use super::*;

fn machine() -> Vec<Interface> {
    [
        ("lo", "127.0.0.1"),
        ("lo", "::1"),
        ("eth0", "10.0.0.5"),
        ("eth0", "2001:db8::5"),
        ("eth0", "fe80::1"),
        ("eth1", "10.9.9.9"),
        ("docker0", "172.17.0.1"),
        ("eth0", "fd00::5"),
        ("eth2", "169.254.1.1"),
    ]
    .map(|(name, ip)| Interface { name: name.into(), ip: ip.parse().expect("ip") })
    .to_vec()
}

fn told(addresses: &MediaAddresses) -> Vec<String> {
    addresses.candidates().iter().map(|c| format!("{}<{}", c.advertised, c.bound)).collect()
}

fn addresses(listen: &[&str], advertise: &[&str], dev: bool) -> MediaAddresses {
    let listen: Vec<SocketAddr> = listen.iter().map(|a| a.parse().expect("address")).collect();
    let advertise: Vec<Advertise> = advertise.iter().map(|a| (*a).to_owned().try_into().expect("address")).collect();
    MediaAddresses::new(&listen, &advertise, &machine(), dev)
}

const ALL: [&str; 2] = ["0.0.0.0:7882", "[::]:7882"];

fn destination(addresses: &MediaAddresses, socket: &str, ip: &str) -> String {
    addresses.destination(socket.parse().expect("address"), Some(ip.parse().expect("ip"))).to_string()
}

#[test]
fn plain_interfaces_are_told_as_they_are() {
    let a = addresses(&ALL, &[], false);
    assert_eq!(
        told(&a),
        ["10.0.0.5:7882<10.0.0.5:7882", "10.9.9.9:7882<10.9.9.9:7882", "[2001:db8::5]:7882<[2001:db8::5]:7882"]
    );
    assert_eq!(destination(&a, "0.0.0.0:7882", "10.9.9.9"), "10.9.9.9:7882");
    assert_eq!(destination(&a, "[::]:7882", "2001:db8::5"), "[2001:db8::5]:7882");
}

#[test]
fn a_developer_is_told_of_loopback_and_of_everything_else() {
    let told = told(&addresses(&ALL, &[], true));
    for ip in ["127.0.0.1", "[::1]", "10.0.0.5", "172.17.0.1", "[2001:db8::5]", "[fd00::5]"] {
        assert!(told.contains(&format!("{ip}:7882<{ip}:7882")), "{ip} in {told:?}");
    }
    assert!(!told.iter().any(|t| t.contains("fe80") || t.contains("169.254")), "{told:?}");
    let behind_nat = self::told(&addresses(&ALL, &["203.0.113.7"], true));
    for ip in ["127.0.0.1:7882<127.0.0.1", "10.0.0.5:7882<10.0.0.5", "203.0.113.7:7882<10.0.0.5"] {
        assert!(behind_nat.contains(&format!("{ip}:7882")), "{ip} in {behind_nat:?}");
    }
}

#[test]
fn behind_nat_only_the_advertised_address_is_told() {
    let a = addresses(&["0.0.0.0:7882"], &["203.0.113.7", "203.0.113.8:443"], false);
    assert_eq!(told(&a), ["203.0.113.7:7882<10.0.0.5:7882", "203.0.113.8:443<10.0.0.5:7882"]);
    assert_eq!(destination(&a, "0.0.0.0:7882", "10.0.0.5"), "10.0.0.5:7882");
    // The router chose our other address.
    assert_eq!(destination(&a, "0.0.0.0:7882", "10.9.9.9"), "10.0.0.5:7882");
}

#[test]
fn an_own_address_may_be_listed_beside_the_public_one() {
    let a = addresses(&["0.0.0.0:7882"], &["203.0.113.7", "10.9.9.9"], false);
    assert_eq!(told(&a), ["203.0.113.7:7882<10.0.0.5:7882", "10.9.9.9:7882<10.9.9.9:7882"]);
    assert_eq!(destination(&a, "0.0.0.0:7882", "10.9.9.9"), "10.9.9.9:7882");
    assert_eq!(destination(&a, "0.0.0.0:7882", "172.17.0.1"), "10.0.0.5:7882");
}

#[test]
fn a_socket_on_one_address_has_no_choice() {
    let a = addresses(&["127.0.0.1:5000"], &[], false);
    assert_eq!(told(&a), ["127.0.0.1:5000<127.0.0.1:5000"]);
    assert_eq!(a.destination("127.0.0.1:5000".parse().expect("address"), None).to_string(), "127.0.0.1:5000");
    let a = addresses(&["10.0.0.5:5000"], &["203.0.113.7:443"], false);
    assert_eq!(told(&a), ["203.0.113.7:443<10.0.0.5:5000"]);
}

#[test]
fn one_family_never_answers_for_the_other() {
    let a = addresses(&["[::]:7882"], &[], false);
    assert_eq!(told(&a), ["[2001:db8::5]:7882<[2001:db8::5]:7882"]);
    assert_eq!(destination(&a, "0.0.0.0:7882", "10.0.0.5"), "10.0.0.5:7882");
}

#[test]
fn this_machine_has_a_loopback_address() {
    assert!(interfaces().expect("readable").iter().any(|i| i.ip.is_loopback()));
}
