//! What the `log.cleaner.*` settings of a running broker do.

use std::time::{Duration, Instant};

use crate::broker::is_control;
use crate::site::Site;

const COMPACTED: [(&str, &str); 2] = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01")];
const EAGER: &str = "log.cleaner.backoff.ms=10";

fn bytes(site: &Site) -> i64 {
    site.found()[0].bytes
}

#[test]
fn nothing_is_cleaned_while_the_cleaner_is_off() {
    if is_control() {
        return;
    }
    let mut site = Site::with("off", &[EAGER, "log.cleaner.enable=false"]);
    site.create(&COMPACTED);
    site.write(0..200);
    let whole = bytes(&site);
    // A hundred times what an eager cleaner waits.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(bytes(&site), whole);
    assert_eq!(site.read(0), (0..200).collect::<Vec<_>>());
    site.more = vec![EAGER.into()];
    site.restart();
    site.wait(|site| bytes(site) < whole * 6 / 10, || format!("{} of {whole} bytes", bytes(&site)));
}

#[test]
fn a_cleaner_is_no_faster_than_it_may() {
    if is_control() {
        return;
    }
    // Half of it for each of the two shards. A segment of 1 MiB is read for its keys and read again to be copied: 4 seconds.
    let site = Site::with("slow", &[EAGER, "log.cleaner.io.max.bytes.per.second=1000000"]);
    site.create(&COMPACTED);
    let began = Instant::now();
    site.write(0..60);
    let whole = bytes(&site);
    site.wait(|site| bytes(site) < whole * 6 / 10, || format!("{} of {whole} bytes", bytes(&site)));
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
}
