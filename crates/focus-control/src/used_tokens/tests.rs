use super::*;

#[test]
fn an_id_is_known_until_its_token_is_refused_anyway() {
    let (mut used, expires) = (UsedTokens::default(), Duration::from_millis(100_700));
    let ids = ["b", "a", "c"].map(Mark::of);
    ids.iter().for_each(|id| used.insert(*id, expires));
    used.insert(ids[0], expires);
    used.insert(Mark::of("later"), expires + Duration::from_secs(1));
    assert_eq!(used.len(), 4);
    assert!(ids.iter().all(|id| used.contains(*id, expires)));
    assert!(!used.contains(Mark::of("d"), expires));

    used.forget_expired(expires + LATE_LEEWAY + Duration::from_secs(1));
    assert_eq!(used.len(), 4, "forgotten early");
    let end = used.next().expect("something to forget");
    assert!(end <= expires + LATE_LEEWAY + Duration::from_secs(2));
    used.forget_expired(end);
    assert_eq!(used.len(), 1);
    assert!(!used.contains(ids[0], expires));
}
