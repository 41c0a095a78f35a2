//! The broker is killed during a move: at places that are laid out by hand, and at any.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::broker::is_control;
use crate::site::{FAST, NONE, SLOW, SMALL, Site, produce};

const FUTURE: &str = "t-0.0123456789abcdef0123456789abcdef-future";

#[test]
fn a_half_copied_replica_goes_on_after_a_kill() {
    if is_control() {
        return;
    }
    let mut site = Site::new("halfway");
    site.create(&[]);
    site.write(0..200);
    site.set(SLOW);
    assert_eq!(site.alter("b"), NONE);
    site.set(("replica.alter.log.dirs.io.max.bytes.per.second", "500000"));
    let first = site.future("b").join("00000000000000000000.log");
    let dated = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    let whole = dated(&site.path("a/t-0/00000000000000000000.log"));
    site.wait(|_| dated(&first) == whole, || "the first segment is not copied".into());
    site.set(SLOW);
    site.restart();
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&path.metadata().expect("the first segment"));
    let (before, places) = (inode(&first), site.places());
    assert_eq!(places, ("a".into(), Some("b".into())));
    site.write(200..210);
    site.set(FAST);
    site.wait_until_in("b");
    assert_eq!(site.read(0), (0..210).collect::<Vec<_>>());
    assert_eq!(inode(&site.path("b/t-0/00000000000000000000.log")), before, "what was there is not copied again");
}

/// What a kill between the metadata's word and the last rename leaves: nobody has written since.
#[test]
fn a_move_that_the_metadata_knows_of_is_finished() {
    if is_control() {
        return;
    }
    let mut site = Site::new("finish");
    site.create(&[]);
    site.write(0..200);
    assert_eq!(site.alter("b"), NONE);
    site.wait_until_in("b");
    let (current, promoted) = (site.path("a/t-0"), site.path("b/t-0"));
    for (written, old) in [(200, None), (201, Some("t-0")), (202, Some("t-0.0123456789abcdef0123456789abcdef-delete"))]
    {
        site.kill();
        if let Some(old) = old {
            copy(&promoted, &site.path("a").join(old));
        }
        fs::rename(&promoted, site.path("b").join(FUTURE)).unwrap();
        site.start();
        site.wait_until_in("b");
        assert!(!current.exists(), "{old:?}");
        assert_eq!(site.read(0), (0..written).collect::<Vec<_>>(), "{old:?}");
        site.write(written..written + 1);
    }
}

/// Not what ringmill leaves, as it holds appends: the old directory has more than the new one.
#[test]
fn the_whole_log_counts_and_not_the_half_one() {
    if is_control() {
        return;
    }
    let mut site = Site::new("whole");
    site.create(&[]);
    site.write(0..100);
    assert_eq!(site.alter("b"), NONE);
    site.wait_until_in("b");
    site.kill();
    copy(&site.path("b/t-0"), &site.path("b").join(FUTURE));
    site.start();
    site.write(100..200);
    // The future one is of no use to a replica in the same directory.
    site.wait_until_in("b");
    site.kill();
    fs::rename(site.path("b/t-0"), site.path("a/t-0")).unwrap();
    copy(&site.path("a/t-0"), &site.path("b").join(FUTURE));
    let last = crate::site::segments(&site.path("b").join(FUTURE)).pop().unwrap();
    fs::remove_file(site.path("b").join(FUTURE).join(last)).unwrap();
    site.start();
    // It goes on to where it was on its way.
    site.wait_until_in("b");
    assert_eq!(site.read(0), (0..200).collect::<Vec<_>>());
}

#[test]
fn there_are_never_two() {
    if is_control() {
        return;
    }
    let mut site = Site::new("two");
    site.create(&[]);
    site.write(0..10);
    assert_eq!(site.alter("b"), NONE);
    site.wait_until_in("b");
    site.kill();
    copy(&site.path("b/t-0"), &site.path("a/t-0"));
    site.start();
    assert_eq!(site.places(), ("b".into(), None));
    let aside = site.names("a");
    assert!(aside.len() == 1 && aside[0].ends_with("-stray"), "{aside:?}");
    site.write(10..20);
    // Moved by hand: the metadata learns of it, so that a copy at the old place changes nothing.
    site.kill();
    fs::rename(site.path("b/t-0"), site.path("c/t-0")).unwrap();
    site.start();
    site.write(20..30);
    site.kill();
    copy(&site.path("c/t-0"), &site.path("b/t-0"));
    site.start();
    assert_eq!(site.places(), ("c".into(), None));
    assert_eq!(site.read(0), (0..30).collect::<Vec<_>>());
    // Two at places of which the metadata says nothing: nobody knows which is the right one.
    site.kill();
    fs::rename(site.path("c/t-0"), site.path("a/t-0")).unwrap();
    fs::remove_dir_all(site.path("c")).unwrap();
    copy(&site.path("a/t-0"), &site.path("b/t-0"));
    let refusal = site.refusal();
    assert!(refusal.contains("remove the one that is out of date"), "{refusal}");
}

#[test]
fn what_a_directory_that_is_away_holds_is_not_replaced_by_an_old_copy() {
    if is_control() {
        return;
    }
    let mut site = Site::new("away");
    site.create(&[]);
    site.write(0..10);
    site.kill();
    copy(&site.path("a/t-0"), &site.path("old"));
    site.start();
    assert_eq!(site.alter("b"), NONE);
    site.wait_until_in("b");
    site.write(10..20);
    site.kill();
    fs::rename(site.path("old"), site.path("a/t-0")).unwrap();
    fs::rename(site.path("b"), site.path("kept")).unwrap();
    fs::write(site.path("b"), "not a directory").unwrap();
    site.start();
    assert_eq!(produce(&mut site.connect(), 10, SMALL, None).0, 56, "the partition is offline");
    site.kill();
    fs::remove_file(site.path("b")).unwrap();
    fs::rename(site.path("kept"), site.path("b")).unwrap();
    site.start();
    assert_eq!(site.read(0), (0..20).collect::<Vec<_>>());
}

#[test]
fn kills_at_any_moment_lose_nothing() {
    if is_control() {
        return;
    }
    let mut site = Site::new("kills");
    site.create(&[]);
    let mut written = 60;
    site.write(0..written);
    // Odd steps of a generator, so that kills fall at different moments of a move.
    let mut chance = 12345_u64;
    for round in 0..12 {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let name = ["a", "b", "c"][(chance >> 40) as usize % 3];
        assert_eq!(site.alter(name), NONE);
        let until = std::time::Instant::now() + Duration::from_millis((chance >> 33) % 1500);
        let mut connection = site.connect();
        while std::time::Instant::now() < until {
            assert_eq!(produce(&mut connection, written, SMALL, None), (NONE, written as i64));
            written += 1;
        }
        site.restart();
        assert_eq!(site.read(0), (0..written).collect::<Vec<_>>(), "round {round}");
        site.wait(|site| site.places().1.is_none(), || format!("{:?}", site.found()));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
