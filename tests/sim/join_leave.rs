//! Coming and going.

use std::time::Duration;

use sfu_testkit::{ClientSetup, Setup};

use crate::story;

story!(two_see_and_hear_each_other, Setup::default(), |w| {
    let [a, b] = [w.join(ClientSetup::caller("alice")), w.join(ClientSetup::caller("bob"))];
    let took = w.until_all_get_all(&[a, b]);
    assert!(took < Duration::from_secs(2), "{took:?}");
    w.run_secs(2);
    w.reset_counts();
    w.run_secs(3);
    w.assert_undisturbed(&[a, b], &[a, b], Duration::from_millis(200));
});
