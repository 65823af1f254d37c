//! Against a name server of the tests' own, on loopback.

use std::net::Ipv4Addr;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, Record};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::net::UdpSocket;

use super::*;

fn service(priority: u16, weight: u16, port: u16, target: &str) -> Service {
    Service { priority, weight, port, target: target.to_owned() }
}

/// Knows `name` alone, and answers nothing about names that begin with `silent`.
async fn name_server(name: &'static str, services: Vec<Service>) -> Dns {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let port = socket.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let mut question = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut question).await {
            let asked = Message::from_vec(&question[..length]).expect("a question");
            let query = asked.queries.first().expect("one").clone();
            let asked_name = query.name().to_ascii().to_ascii_lowercase();
            if asked_name.starts_with("silent") {
                continue;
            }
            let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
            answer.add_query(query.clone());
            if asked_name == name {
                answer.add_answers(services.iter().map(|service| {
                    let target = Name::from_ascii(&service.target).expect("a name");
                    let srv = SRV::new(service.priority, service.weight, service.port, target);
                    Record::from_rdata(query.name().clone(), 60, RData::SRV(srv))
                }));
            } else {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            socket.send_to(&answer.to_vec().expect("small"), from).await.expect("sent");
        }
    });
    let mut connection = ConnectionConfig::udp();
    connection.port = port;
    let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    Dns(OnceLock::from(bounded(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))))
}

#[tokio::test]
async fn records_are_found_and_their_absence_is_no_error() {
    let known = vec![service(10, 5, 8449, "a.example."), service(20, 0, 443, ".")];
    let dns = name_server("_matrix-fed._tcp.hs.example.", known.clone()).await;
    let mut found = dns.services("_matrix-fed._tcp.hs.example.").await.expect("answered");
    found.sort_by_key(|service| service.priority);
    assert_eq!(found, known);
    assert_eq!(dns.services("_matrix-fed._tcp.other.example.").await.expect("answered"), []);
    assert!(dns.services("silent.example.").await.is_err());
    assert_eq!(Dns(OnceLock::from(None)).services("any.example.").await.expect("nobody to ask"), []);
}

#[tokio::test]
async fn few_are_looked_at() {
    let many = (0..40).map(|n| service(n, 0, 1, "a.example.")).collect();
    let dns = name_server("many.example.", many).await;
    assert_eq!(dns.services("many.example.").await.expect("answered").len(), RECORDS_MAX);
}

#[test]
fn priority_comes_first_and_weight_is_a_chance() {
    let services = || vec![service(2, 9, 1, "c."), service(1, 1, 1, "b."), service(1, 3, 1, "a.")];
    let mut rng = StdRng::seed_from_u64(7);
    let mut first = 0;
    for _ in 0..1000 {
        let order = in_order(services(), &mut rng);
        assert_eq!(order[2].target, "c.");
        first += u32::from(order[0].target == "a.");
    }
    assert!((700..800).contains(&first), "{first}: three of four");
}
