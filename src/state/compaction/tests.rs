use wire::records::{Attributes, BatchBuilder, BatchHeader, Scratch};

use super::*;
use crate::producer::Marker;

fn span(base: i64, next_offset: i64, size: u64) -> SegmentSpan {
    SegmentSpan { base, next_offset, size, offset_index_bytes: 8, time_index_bytes: 12 }
}

/// Segments 0..10, 10..20, 20..30 of 100 bytes; the active one begins at 30.
fn three() -> [SegmentSpan; 3] {
    [0, 10, 20].map(|base| span(base, base + 10, 100))
}

const BOUNDS: Bounds = Bounds { cleaned: None, log_start: 0, log_end: 40, active_base: 30, last_stable: 40 };

#[test]
fn whole_closed_segments_below_every_bound_are_cleanable() {
    let cases = [
        (BOUNDS, None, (0, 30, 300, 300)),
        (Bounds { last_stable: 29, ..BOUNDS }, None, (0, 20, 200, 200)),
        (Bounds { last_stable: 30, ..BOUNDS }, None, (0, 30, 300, 300)),
        (Bounds { last_stable: 9, ..BOUNDS }, None, (0, 0, 0, 0)),
        (BOUNDS, Some(10), (0, 10, 100, 100)),
        (Bounds { cleaned: Some(20), ..BOUNDS }, None, (20, 30, 100, 300)),
        // A segment of which a part was cleaned counts on both sides.
        (Bounds { cleaned: Some(15), ..BOUNDS }, None, (15, 30, 200, 400)),
        (Bounds { cleaned: Some(30), ..BOUNDS }, None, (30, 30, 0, 300)),
        (Bounds { cleaned: Some(25), last_stable: 25, ..BOUNDS }, None, (25, 25, 0, 300)),
        (Bounds { cleaned: Some(20), ..BOUNDS }, Some(20), (20, 20, 0, 200)),
    ];
    for (bounds, young, (first_dirty, first_uncleanable, cleanable_bytes, total_bytes)) in cases {
        let expected = Dirty { first_dirty, first_uncleanable, cleanable_bytes, total_bytes };
        assert_eq!(dirty(&three(), &bounds, young), expected, "{bounds:?} {young:?}");
    }
    let nothing = Dirty { first_dirty: 0, first_uncleanable: 0, cleanable_bytes: 0, total_bytes: 0 };
    assert_eq!(dirty(&[], &Bounds { active_base: 0, ..BOUNDS }, None), nothing);
}

#[test]
fn a_checkpoint_outside_of_the_log_says_nothing() {
    for (cleaned, first_dirty) in [(None, 5), (Some(4), 5), (Some(5), 5), (Some(40), 40), (Some(41), 5)] {
        assert_eq!(Bounds { cleaned, log_start: 5, ..BOUNDS }.first_dirty(), first_dirty, "{cleaned:?}");
    }
}

#[test]
fn cleaning_waits_for_its_ratio_or_for_the_longest_lag() {
    let dirty = Dirty { first_dirty: 0, first_uncleanable: 30, cleanable_bytes: 50, total_bytes: 100 };
    assert!(dirty.is_due(0.49, false) && !dirty.is_due(0.5, false) && dirty.is_due(0.5, true));
    let clean = Dirty { cleanable_bytes: 0, ..dirty };
    assert!(!clean.is_due(0.0, true) && !clean.is_due(0.0, false));
    assert_eq!(Dirty { total_bytes: 0, ..clean }.ratio(), 0.0);
}

#[test]
fn neighbours_become_one_segment_as_long_as_they_fit() {
    let of = |segments: &[SegmentSpan], segment_bytes: u64, index_bytes: u64| -> Vec<(usize, usize)> {
        groups(segments, segment_bytes, index_bytes).iter().map(|group| (group.start, group.end)).collect()
    };
    assert_eq!(of(&[], 100, 100), []);
    assert_eq!(of(&three(), 300, 100), [(0, 3)]);
    assert_eq!(of(&three(), 299, 100), [(0, 2), (2, 3)]);
    assert_eq!(of(&three(), 1, 100), [(0, 1), (1, 2), (2, 3)]);
    assert_eq!(of(&three(), 300, 24), [(0, 2), (2, 3)], "the time index");
    let far = i64::from(i32::MAX);
    assert_eq!(of(&[span(0, 10, 1), span(10, far + 1, 1)], 300, 100), [(0, 2)]);
    assert_eq!(of(&[span(0, 10, 1), span(10, far + 2, 1)], 300, 100), [(0, 1), (1, 2)]);
    assert_eq!(of(&[span(0, 10, 1), span(10, far + 2, 0)], 300, 100), [(0, 2)], "an empty one holds no offset");
}

#[test]
fn of_each_key_the_last_record_stays_and_tombstones_for_a_while() {
    let value = Candidate { offset: 7, newest: Some(7), has_key: true, has_value: true };
    let tombstone = Candidate { has_value: false, ..value };
    let stays = |candidate: Candidate| candidate.stays(10, Some(100), 99);
    assert!(stays(value));
    assert!(stays(Candidate { newest: None, ..value }), "cleaned before, and not written since");
    assert!(!stays(Candidate { newest: Some(8), ..value }));
    assert!(stays(Candidate { newest: Some(6), ..value }));
    assert!(!stays(Candidate { newest: None, has_key: false, ..value }));
    assert!(stays(Candidate { offset: 10, newest: None, has_key: false, ..value }), "nobody has looked there");
    assert!(stays(tombstone) && tombstone.stays(10, None, i64::MAX));
    assert!(!tombstone.stays(10, Some(100), 100));
    assert!(value.stays(10, Some(100), 100));
}

fn header(base_offset: i64, producer_id: i64, control: bool, horizon_ms: Option<i64>) -> BatchHeader {
    let mut builder = BatchBuilder::new(base_offset).producer(producer_id, 3, 0);
    if producer_id >= 0 {
        builder = builder.transactional();
    }
    if let Some(horizon_ms) = horizon_ms {
        builder = builder.delete_horizon(horizon_ms);
    }
    if control {
        builder = builder.control();
    }
    builder.push(1, Some(b"key"), Some(b"value"), &[]).unwrap();
    BatchHeader::parse(&builder.finish(&mut Scratch::default())).unwrap()
}

fn last(producer_id: i64, last_offset: i64) -> LastOfProducers {
    LastOfProducers { last: [(producer_id, ((last_offset >= 0).then_some(last_offset), 3))].into() }
}

#[test]
fn a_header_stays_for_its_producer_and_the_last_offsets_for_the_end() {
    let keeps =
        |header: &BatchHeader, is_last: bool, of: &LastOfProducers| Retention::of(header, false, is_last, of, 0).keep;
    use Keep::{Header, Nothing, Offsets};
    let data = header(5, 9, false, None);
    assert_eq!(keeps(&data, false, &last(9, 5)), Header);
    assert_eq!(keeps(&data, true, &last(9, 5)), Header);
    assert_eq!(keeps(&data, false, &last(9, 6)), Nothing);
    assert_eq!(keeps(&data, false, &last(8, 5)), Nothing);
    assert_eq!(keeps(&data, true, &LastOfProducers::default()), Offsets);
    let marker = header(5, 9, true, None);
    assert_eq!(keeps(&marker, false, &last(9, -1)), Header);
    assert_eq!(keeps(&data, false, &last(9, -1)), Nothing);
    let old_marker = BatchHeader { producer_epoch: 2, ..marker };
    assert_eq!(keeps(&old_marker, false, &last(9, -1)), Nothing);
    assert_eq!(keeps(&header(5, -1, false, None), false, &last(-1, 5)), Nothing, "no producer at all");
}

#[test]
fn markers_go_after_their_records_and_their_time() {
    let of = |header: &BatchHeader, discardable: bool| {
        let found = Retention::of(header, discardable, false, &LastOfProducers::default(), 100);
        (found.discard, found.starts_horizon)
    };
    assert_eq!(of(&header(0, 1, false, None), false), (false, false));
    assert_eq!(of(&header(0, 1, false, None), true), (true, false));
    assert_eq!(of(&header(0, 1, true, None), false), (false, false));
    assert_eq!(of(&header(0, 1, true, None), true), (false, true));
    assert_eq!(of(&header(0, 1, true, Some(101)), true), (false, true));
    assert_eq!(of(&header(0, 1, true, Some(100)), true), (true, true));
}

const COMMIT: Option<Marker> = Some(Marker { commit: true, coordinator_epoch: 0 });
const ABORT: Option<Marker> = Some(Marker { commit: false, coordinator_epoch: 0 });

#[test]
fn aborted_transactions_are_found_by_their_markers() {
    let log = [
        (header(0, 1, false, None), None),
        (header(1, 2, false, None), None),
        (header(2, 1, true, None), ABORT),
        (header(3, 1, false, None), None),
        (header(4, 2, true, None), COMMIT),
        (header(5, -1, false, None), None),
        (header(6, 1, true, None), COMMIT),
        (header(7, 4, true, None), ABORT),
        (header(8, 3, false, None), None),
    ];
    let mut scan = TransactionScan::default();
    log.iter().for_each(|(header, marker)| scan.note(header, *marker));
    assert_eq!((scan.first_undecided(), scan.is_full()), (Some(8), false));
    let mut transactions = scan.finish();
    let discardable: Vec<bool> =
        log.iter().map(|(header, marker)| transactions.is_discardable(header, *marker)).collect();
    assert_eq!(discardable, [true, false, false, false, false, false, false, true, false]);

    // The next time the records of the aborted one are gone, and with them what held its marker.
    let mut again = CleanedTransactions::default();
    assert!(again.is_discardable(&log[2].0, ABORT));
    assert!(!again.is_discardable(&log[3].0, None) && !again.is_discardable(&log[6].0, COMMIT));
    let mut leader_change = header(9, -1, true, None);
    assert!(!again.is_discardable(&leader_change, None), "not a transaction's");
    (leader_change.records_count, leader_change.attributes) = (0, Attributes::default().with_control(true));
    assert!(again.is_discardable(&leader_change, None), "emptied before");
}
