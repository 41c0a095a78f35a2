use super::*;
use proptest::prelude::*;

fn table() -> ProducerTable {
    ProducerTable::new(ProducerLimits { expiration_ms: 1000, producers_max: 100 })
}

fn batch(producer_id: i64, epoch: i16, base_sequence: i32, count: i32) -> ProducerBatch {
    let last_sequence = base_sequence.wrapping_add(count - 1) & i32::MAX;
    ProducerBatch { producer_id, epoch, base_sequence, last_sequence, transactional: false }
}

fn in_txn(batch: ProducerBatch) -> ProducerBatch {
    ProducerBatch { transactional: true, ..batch }
}

/// Checks, stages what may be appended at the end, and says what happened.
fn push(table: &mut ProducerTable, batch: ProducerBatch) -> String {
    match table.check(&batch) {
        Verdict::Append => {
            let base = table.end_offset();
            let count = i64::from(batch.last_sequence.wrapping_sub(batch.base_sequence) & i32::MAX) + 1;
            table.stage(&batch, base, base + count - 1, 5000);
            format!("at {base}")
        }
        Verdict::Duplicate { base_offset, last_offset, .. } => format!("again {base_offset}..={last_offset}"),
        Verdict::Rejected(ProducerError::OutOfOrderSequence { expected, .. }) => format!("expected {expected}"),
        Verdict::Rejected(ProducerError::InvalidEpoch { current, .. }) => format!("fenced by {current}"),
        Verdict::Rejected(error) => error.to_string(),
    }
}

fn check(table: &mut ProducerTable, steps: &[(ProducerBatch, &str)]) {
    for (index, (batch, expected)) in steps.iter().enumerate() {
        assert_eq!(push(table, *batch), *expected, "step {index}: {batch:?}");
    }
}

#[test]
fn the_last_five_batches_are_recognised() {
    let mut t = table();
    for sequence in 0..6 {
        push(&mut t, batch(7, 0, sequence * 10, 10));
    }
    check(
        &mut t,
        &[
            (batch(7, 0, 0, 10), "expected 60"),
            (batch(7, 0, 10, 10), "again 10..=19"),
            (batch(7, 0, 50, 10), "again 50..=59"),
            (batch(7, 0, 50, 9), "expected 60"),
            (batch(7, 0, 70, 10), "expected 60"),
            (batch(7, 0, 60, 10), "at 60"),
            (batch(7, 0, 10, 10), "expected 70"),
        ],
    );
}

#[test]
fn an_unknown_producer_begins_anywhere_and_a_new_epoch_at_zero() {
    let mut t = table();
    check(
        &mut t,
        &[
            (batch(1, 4, 33, 2), "at 0"),
            (batch(1, 3, 35, 1), "fenced by 4"),
            (batch(1, 5, 35, 1), "expected 0"),
            (batch(1, 5, 0, 1), "at 2"),
            (batch(1, 4, 33, 2), "fenced by 5"),
            (batch(-1, -1, -1, 1), "at 3"),
            (batch(2, 0, 0, 1), "at 4"),
        ],
    );
}

#[test]
fn sequences_wrap() {
    let mut t = table();
    check(
        &mut t,
        &[
            (batch(1, 0, i32::MAX - 1, 4), "at 0"),
            (batch(1, 0, i32::MAX - 1, 4), "again 0..=3"),
            (batch(1, 0, 3, 1), "expected 2"),
            (batch(1, 0, 2, 1), "at 4"),
            (batch(2, 0, i32::MAX, 1), "at 5"),
            (batch(2, 0, 0, 1), "at 6"),
        ],
    );
}

#[test]
fn silent_producers_expire_but_not_inside_a_transaction() {
    let mut t = table();
    push(&mut t, batch(1, 0, 0, 1));
    push(&mut t, in_txn(batch(2, 0, 0, 1)));
    assert_eq!(t.expire(5999), 0);
    assert_eq!(t.expire(6000), 1);
    assert!(t.producer(1).is_none() && t.producer(2).is_some());
    check(&mut t, &[(batch(1, 0, 17, 1), "at 2"), (in_txn(batch(2, 0, 17, 1)), "expected 1")]);
    // A record without a timestamp expires at once (-1 is long ago).
    t.stage(&batch(3, 0, 0, 1), 3, 3, -1);
    assert_eq!(t.expire(5999), 1);
}

#[test]
fn a_full_table_forgets_the_longest_unused() {
    let limits = ProducerLimits { expiration_ms: 1000, producers_max: 32 };
    let mut t = ProducerTable::new(limits);
    push(&mut t, in_txn(batch(0, 0, 0, 1)));
    for id in 1..32 {
        push(&mut t, batch(id, 0, 0, 1));
    }
    push(&mut t, batch(1, 0, 1, 1));
    push(&mut t, batch(99, 0, 0, 1));
    assert_eq!(t.len(), 31);
    // 2 and 3 are gone: 0 has a transaction, 1 was used again.
    assert_eq!((0..5).map(|id| t.producer(id).is_some()).collect::<Vec<_>>(), [true, true, false, false, true]);
    for id in 100..5000 {
        push(&mut t, batch(id, 0, 0, 1));
        assert!(t.len() <= 32);
    }
    assert!(t.producer(0).is_some());
}

#[test]
fn a_table_full_of_transactions_takes_no_more() {
    let mut t = ProducerTable::new(ProducerLimits { expiration_ms: 1000, producers_max: 2 });
    push(&mut t, in_txn(batch(0, 0, 0, 1)));
    push(&mut t, in_txn(batch(1, 0, 0, 1)));
    assert_eq!(t.check(&batch(2, 0, 0, 1)), Verdict::Rejected(ProducerError::TooManyTransactions { producers_max: 2 }));
}

#[test]
fn a_transaction_holds_the_stable_offset_until_its_marker_is_replicated() {
    let mut t = table();
    let commit = Marker { commit: true, coordinator_epoch: 3 };
    let abort = Marker { commit: false, coordinator_epoch: 3 };
    check(
        &mut t,
        &[
            (batch(9, 0, 0, 5), "at 0"),
            (in_txn(batch(1, 0, 0, 5)), "at 5"),
            (in_txn(batch(2, 0, 0, 5)), "at 10"),
            (in_txn(batch(1, 0, 5, 5)), "at 15"),
            (batch(1, 0, 10, 1), "producer 1 has an open transaction and this batch is not part of it"),
        ],
    );
    assert!(t.has_open_txn(1, 0) && !t.has_open_txn(1, 1));
    assert_eq!((t.first_unstable_offset(), t.first_undecided_offset()), (Some(5), Some(5)));

    let done = t.end_txn(1, 1, abort, 20, 6000).unwrap();
    let expected =
        CompletedTxn { producer_id: 1, first_offset: 5, last_offset: 20, aborted: true, last_stable_offset: 10 };
    assert_eq!(done, expected);
    assert_eq!((t.first_unstable_offset(), t.first_undecided_offset()), (Some(5), Some(10)));
    t.high_watermark_advanced(20);
    assert_eq!(t.first_unstable_offset(), Some(5));
    t.high_watermark_advanced(21);
    assert_eq!(t.first_unstable_offset(), Some(10));

    let done = t.end_txn(2, 1, commit, 21, 6000).unwrap();
    assert_eq!((done.aborted, done.last_stable_offset), (false, 22));
    // A marker without a transaction is written, and ends nothing.
    assert_eq!(t.end_txn(2, 1, commit, 22, 6000), None);
    t.high_watermark_advanced(23);
    assert_eq!(t.first_unstable_offset(), None);
    // The marker raised the epoch: the next transaction begins at sequence 0.
    check(&mut t, &[(in_txn(batch(1, 1, 10, 1)), "expected 0"), (in_txn(batch(1, 1, 0, 1)), "at 23")]);
}

#[test]
fn markers_are_judged_by_epoch_and_coordinator() {
    let mut t = table();
    push(&mut t, in_txn(batch(1, 5, 0, 1)));
    let marker = |coordinator_epoch| Marker { commit: true, coordinator_epoch };
    assert_eq!(t.check_marker(1, 4, marker(0), 0), Err(MarkerError::InvalidEpoch { epoch: 4, current: 5 }));
    assert_eq!(t.check_marker(1, 5, marker(0), 1), Ok(()));
    assert_eq!(t.check_marker(1, 5, marker(0), 2), Err(MarkerError::InvalidEpoch { epoch: 5, current: 5 }));
    assert_eq!(t.check_marker(1, 6, marker(0), 2), Ok(()));
    t.end_txn(1, 6, marker(8), 1, 0);
    assert_eq!(t.check_marker(1, 6, marker(8), 2), Ok(()));
    let fenced = MarkerError::CoordinatorFenced { coordinator_epoch: 7, current: 8 };
    assert_eq!(t.check_marker(1, 6, marker(7), 2), Err(fenced));
    assert_eq!(t.check_marker(77, 0, marker(0), 2), Ok(()));
}

#[test]
fn a_snapshot_keeps_the_newest_batch_and_open_transactions() {
    let mut t = table();
    push(&mut t, batch(1, 2, 0, 3));
    push(&mut t, batch(1, 2, 3, 3));
    push(&mut t, in_txn(batch(2, 0, 0, 4)));
    t.end_txn(3, 7, Marker { commit: true, coordinator_epoch: 11 }, 10, 5000);
    let entries = t.to_snapshot();
    let first = ProducerSnapshotEntry {
        producer_id: 1,
        epoch: 2,
        last_sequence: 5,
        last_offset: 5,
        offset_delta: 2,
        timestamp: 5000,
        coordinator_epoch: -1,
        current_txn_first_offset: -1,
    };
    assert_eq!(entries[0], first);
    assert_eq!(
        (entries[1].current_txn_first_offset, entries[2].last_offset, entries[2].coordinator_epoch),
        (6, -1, 11)
    );
    let limits = ProducerLimits { expiration_ms: 1000, producers_max: 100 };
    let mut again = ProducerTable::from_snapshot(limits, t.end_offset(), entries.clone(), 5500);
    assert_eq!(again.to_snapshot(), entries);
    assert_eq!(again.first_unstable_offset(), Some(6));
    check(
        &mut again,
        &[
            (batch(1, 2, 0, 3), "expected 6"),
            (batch(1, 2, 3, 3), "again 3..=5"),
            (batch(3, 7, 4, 1), "expected 0"),
            (batch(3, 7, 0, 1), "at 11"),
        ],
    );
    let late = ProducerTable::from_snapshot(limits, 11, entries, 6000);
    assert_eq!(late.len(), 1, "only the open transaction does not expire");
}

#[test]
fn replay_gives_what_staging_gave() {
    let mut live = table();
    let mut replayed = table();
    for (id, epoch, sequence, transactional) in
        [(1, 0, 0, false), (2, 0, 9, true), (1, 0, 2, false), (1, 1, 0, false), (-1, -1, -1, false)]
    {
        let header = BatchHeader {
            base_offset: live.end_offset(),
            batch_length: 100,
            leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: wire::records::Attributes(u16::from(transactional) << 4),
            last_offset_delta: 1,
            base_timestamp: 5000,
            max_timestamp: 5000,
            producer_id: id,
            producer_epoch: epoch,
            base_sequence: sequence,
            records_count: 2,
        };
        live.stage(&ProducerBatch::from(&header), header.base_offset, header.last_offset(), 5000);
        assert_eq!(replayed.replay(&header, None), None);
    }
    assert_eq!(replayed.to_snapshot(), live.to_snapshot());
    assert_eq!(replayed.end_offset(), live.end_offset());
    assert_eq!(replayed.first_unstable_offset(), Some(2));
}

/// The same rules over the whole history of a partition.
#[derive(Default)]
struct Model {
    /// Producer, epoch, first and last sequence, base offset: everything ever appended.
    log: Vec<(i64, i16, i32, i32, i64)>,
    end: i64,
}

impl Model {
    fn push(&mut self, b: ProducerBatch) -> String {
        let of_producer: Vec<_> = self.log.iter().filter(|e| e.0 == b.producer_id).copied().collect();
        let Some(last) = of_producer.last().copied() else { return self.append(b) };
        let window: Vec<_> = of_producer.iter().rev().take_while(|e| e.1 == last.1).take(BATCHES_KEPT).collect();
        if let Some(e) = window.iter().find(|e| (e.1, e.2, e.3) == (b.epoch, b.base_sequence, b.last_sequence)) {
            let count = (i64::from(e.3) - i64::from(e.2)).rem_euclid(1 << 31) + 1;
            return format!("again {}..={}", e.4, e.4 + count - 1);
        }
        if b.epoch < last.1 {
            return format!("fenced by {}", last.1);
        }
        let expected = if b.epoch > last.1 { 0 } else { (i64::from(last.3) + 1).rem_euclid(1 << 31) as i32 };
        if b.base_sequence == expected { self.append(b) } else { format!("expected {expected}") }
    }

    fn append(&mut self, b: ProducerBatch) -> String {
        let base = self.end;
        self.log.push((b.producer_id, b.epoch, b.base_sequence, b.last_sequence, base));
        self.end += (i64::from(b.last_sequence) - i64::from(b.base_sequence)).rem_euclid(1 << 31) + 1;
        format!("at {base}")
    }
}

proptest! {
    #![proptest_config(crate::testing::cases(512))]

    /// Producers that send in order, repeat, skip, wrap and raise their epochs.
    #[test]
    fn agrees_with_the_whole_history(steps in prop::collection::vec((0..3i64, 0..8u8, 1..4i32, 0..9i32), 0..200)) {
        let mut t = table();
        let mut model = Model::default();
        let mut next = [(1i16, i32::MAX - 20); 3];
        for (id, kind, count, back) in steps {
            let (epoch, sequence) = &mut next[id as usize];
            let b = match kind {
                0 => { *epoch += 1; *sequence = 0; batch(id, *epoch, 0, count) }
                1 => batch(id, *epoch, sequence.wrapping_sub(back) & i32::MAX, count),
                2 => batch(id, *epoch - (back % 2) as i16, sequence.wrapping_add(back) & i32::MAX, count),
                _ => batch(id, *epoch, *sequence, count),
            };
            let (ours, theirs) = (push(&mut t, b), model.push(b));
            prop_assert_eq!(&ours, &theirs, "{:?}", b);
            if ours.starts_with("at") {
                *epoch = b.epoch;
                *sequence = b.last_sequence.wrapping_add(1) & i32::MAX;
            }
        }
    }

    /// No header makes the table panic, and its size stays bounded.
    #[test]
    fn nonsense_is_survived(steps in prop::collection::vec(any::<(i64, i16, i32, i32, bool, i64, i64, i64)>(), 0..60)) {
        let mut t = ProducerTable::new(ProducerLimits { expiration_ms: 1, producers_max: 8 });
        for (producer_id, epoch, base_sequence, last_sequence, transactional, base, last, timestamp) in steps {
            let b = ProducerBatch { producer_id: producer_id % 20, epoch, base_sequence, last_sequence, transactional };
            if t.check(&b) == Verdict::Append {
                t.stage(&b, base, last, timestamp);
            }
            t.end_txn(producer_id % 3, epoch, Marker { commit: transactional, coordinator_epoch: 0 }, last, timestamp);
            prop_assert!(t.len() <= 8 + 3);
            let _ = (t.to_snapshot(), t.first_unstable_offset());
        }
        t.expire(i64::MAX);
    }
}
