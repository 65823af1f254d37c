use super::*;

#[test]
fn associations_share_one_configuration() {
    let provider = Provider { shared: OnceLock::new() };
    let (one, two) = (provider.config(None).expect("valid"), provider.config(None).expect("valid"));
    assert!(Arc::ptr_eq(&one, &two));
    let other = provider.config(Some(1200)).expect("valid");
    assert_eq!((one.mtu(), other.mtu()), (Config::builder().build().expect("valid").mtu(), 1200));
    assert!(Arc::ptr_eq(&one, &provider.config(None).expect("valid")), "the first one stays");
}
