use super::*;
use proptest::prelude::*;
use wire::Uuid;

fn wanted(fetch_offset: i64) -> Wanted {
    Wanted { fetch_offset, current_leader_epoch: -1, last_fetched_epoch: -1, max_bytes: 1000, log_start_offset: -1 }
}

fn limits(slots: usize) -> SessionLimits {
    SessionLimits { slots, partitions_max: 100, eviction_ms: 120, ids: 1..1000 }
}

fn list(count: i32) -> Partitions {
    let mut partitions = Partitions::new(false);
    for index in 0..count {
        partitions.set(TopicKey::Name("t"), index, wanted(0));
    }
    partitions
}

fn order(partitions: &Partitions) -> Vec<i32> {
    partitions.iter().map(|(_, partition)| partition.index).collect()
}

fn incremental(sessions: &mut FetchSessions, id: i32, epoch: i32) -> Result<Updated, SessionError> {
    assert!(matches!(sessions.begin(id, epoch, false)?, Begin::Incremental(_)));
    sessions.updated(id, 0)
}

#[test]
fn a_session_lives_from_full_fetch_to_full_fetch() {
    let mut sessions = FetchSessions::new(limits(2));
    assert!(matches!(sessions.begin(0, FINAL_EPOCH, false), Ok(Begin::Sessionless)));
    assert!(matches!(sessions.begin(0, INITIAL_EPOCH, false), Ok(Begin::Full)));
    let id = sessions.create(list(3), false, 0, || 41);
    assert_eq!((id, sessions.len(), sessions.partition_count()), (42, 1, 3));

    assert_eq!(sessions.begin(7, 1, false).unwrap_err(), SessionError::IdNotFound);
    assert_eq!(sessions.begin(0, 1, false).unwrap_err(), SessionError::IdNotFound);
    assert_eq!(sessions.begin(42, 2, false).unwrap_err(), SessionError::InvalidEpoch);
    assert_eq!(sessions.begin(42, -2, false).unwrap_err(), SessionError::InvalidEpoch);
    assert_eq!(sessions.begin(42, 1, true).unwrap_err(), SessionError::TopicId);

    let Ok(Begin::Incremental(partitions)) = sessions.begin(42, 1, false) else { panic!() };
    partitions.set(TopicKey::Name("u"), 0, wanted(5));
    partitions.set(TopicKey::Name("t"), 1, wanted(9));
    assert!(partitions.forget(TopicKey::Name("t"), 0));
    assert!(!partitions.forget(TopicKey::Name("t"), 0));
    assert_eq!(sessions.updated(42, 0), Ok(Updated::Epoch(2)));
    let partitions = sessions.resume(42, 2).unwrap();
    let seen: Vec<_> = partitions.iter().map(|(_, p)| (partitions.topic(p), p.index, p.wanted.fetch_offset)).collect();
    assert_eq!(seen, [(TopicKey::Name("t"), 1, 9), (TopicKey::Name("t"), 2, 0), (TopicKey::Name("u"), 0, 5)]);

    // A second request overtakes the first, which was waiting.
    assert_eq!(incremental(&mut sessions, 42, 2), Ok(Updated::Epoch(3)));
    assert_eq!(sessions.resume(42, 2).unwrap_err(), SessionError::InvalidEpoch);

    assert!(matches!(sessions.begin(42, INITIAL_EPOCH, true), Ok(Begin::Full)));
    assert!(sessions.is_empty());
    assert_eq!(sessions.partition_count(), 0);
}

#[test]
fn a_session_that_forgets_everything_is_closed() {
    let mut sessions = FetchSessions::new(limits(2));
    let id = sessions.create(list(1), false, 0, || 0);
    let Ok(Begin::Incremental(partitions)) = sessions.begin(id, 1, false) else { panic!() };
    partitions.forget(TopicKey::Name("t"), 0);
    assert_eq!(sessions.updated(id, 0), Ok(Updated::Closed));
    assert_eq!(sessions.begin(id, 2, false).unwrap_err(), SessionError::IdNotFound);
}

#[test]
fn epochs_go_around_to_one() {
    assert_eq!([0, 1, i32::MAX, -1].map(next_epoch), [1, 2, 1, -1]);
}

#[test]
fn an_answer_holds_what_is_new_and_what_gave_data_goes_last() {
    let mut p = list(3);
    let (a, b, c) = (Slot::of(&p, 0), Slot::of(&p, 1), Slot::of(&p, 2));
    let quiet = Answer { high_watermark: 10, log_start_offset: 0, ..Answer::default() };
    assert!(p.answered(a, &quiet) && p.answered(b, &quiet) && p.answered(c, &quiet));
    assert!(!p.answered(a, &quiet) && !p.answered(b, &quiet) && !p.answered(c, &quiet));
    assert!(p.answered(a, &Answer { bytes: 5, ..quiet }));
    assert_eq!(order(&p), [1, 2, 0]);
    assert!(p.answered(b, &Answer { high_watermark: 11, ..quiet }));
    assert!(p.answered(b, &Answer { log_start_offset: 4, high_watermark: 11, ..quiet }));
    assert!(p.answered(c, &Answer { redirected: true, ..quiet }));
    assert_eq!(order(&p), [1, 2, 0]);
    // After an error the client is told again, even if nothing moved.
    assert!(p.answered(c, &Answer { failed: true, high_watermark: -1, log_start_offset: -1, ..quiet }));
    assert!(p.answered(c, &quiet));
    assert!(!p.answered(c, &quiet));
}

#[test]
fn the_cache_is_bounded_and_prefers_followers_and_large_sessions() {
    let mut sessions = FetchSessions::new(limits(2));
    let mut ids = 1..;
    let mut create = |sessions: &mut FetchSessions, count: i32, follower: bool, now: i64| {
        sessions.create(list(count), follower, now, || ids.next().unwrap())
    };
    let first = create(&mut sessions, 5, false, 0);
    let second = create(&mut sessions, 2, false, 0);
    assert!(first > 0 && second > 0);
    // Both are young.
    assert_eq!(create(&mut sessions, 9, false, 50), INVALID_SESSION_ID);
    // A follower takes the smaller one's place.
    let third = create(&mut sessions, 1, true, 60);
    assert!(sessions.begin(second, 1, false).is_err() && third > 0);
    // The first is no longer young but in use: only a larger one takes its place, not before it was looked for again.
    assert!(matches!(sessions.begin(first, 1, false), Ok(Begin::Incremental(_))));
    sessions.updated(first, 125).unwrap();
    assert_eq!(create(&mut sessions, 5, false, 130), INVALID_SESSION_ID);
    assert_eq!(create(&mut sessions, 6, false, 131), INVALID_SESSION_ID);
    sessions.begin(third, 1, false).unwrap();
    sessions.updated(third, 1130).unwrap();
    sessions.begin(first, 2, false).unwrap();
    sessions.updated(first, 1130).unwrap();
    assert_eq!(create(&mut sessions, 5, false, 1130), INVALID_SESSION_ID);
    let fourth = create(&mut sessions, 6, false, 2130);
    assert!(fourth > 0 && sessions.evictions() == 2);
    // What nobody used for long gives way to anything.
    assert!(create(&mut sessions, 1, false, 9000) > 0);
    assert_eq!(sessions.len(), 2);
}

#[test]
fn the_partitions_of_all_sessions_are_bounded() {
    let mut sessions = FetchSessions::new(limits(10));
    assert_eq!(sessions.create(list(101), false, 0, || 5), INVALID_SESSION_ID);
    let id = sessions.create(list(60), false, 0, || 5);
    assert_eq!(sessions.create(list(41), false, 0, || 6), INVALID_SESSION_ID);
    let other = sessions.create(list(40), false, 0, || 6);
    assert!(id > 0 && other > 0);
    let Ok(Begin::Incremental(partitions)) = sessions.begin(id, 1, false) else { panic!() };
    partitions.set(TopicKey::Name("t"), 60, wanted(0));
    assert_eq!(sessions.updated(id, 0), Err(SessionError::IdNotFound));
    assert_eq!((sessions.len(), sessions.partition_count()), (1, 40));
    // Ids that are taken are not given again, and chance is not asked for ever.
    assert_eq!(sessions.create(list(1), false, 0, || 6), INVALID_SESSION_ID);
}

impl Slot {
    fn of(partitions: &Partitions, index: i32) -> Slot {
        partitions.find(TopicKey::Name("t"), index).unwrap()
    }
}

#[derive(Debug, Clone)]
enum Event {
    Set(u8, u8, i64),
    Forget(u8, u8),
    Answer(u8, u8, Answer),
}

fn event() -> impl Strategy<Value = Event> {
    let answer = (0..2u64, -1..3i64, -1..2i64, prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    let answer = answer.prop_map(|(bytes, high_watermark, log_start_offset, failed, redirected)| Answer {
        bytes,
        high_watermark,
        log_start_offset,
        failed,
        redirected,
    });
    prop_oneof![
        3 => (0..60u8, 0..4u8, 0..99i64).prop_map(|(t, p, o)| Event::Set(t, p, o)),
        2 => (0..60u8, 0..4u8).prop_map(|(t, p)| Event::Forget(t, p)),
        2 => (0..60u8, 0..4u8, answer).prop_map(|(t, p, a)| Event::Answer(t, p, a)),
    ]
}

/// Topic, partition, offset, high watermark, log start: a plain list, searched from end to end.
type Model = Vec<(u8, i32, i64, i64, i64)>;

fn apply(model: &mut Model, p: &mut Partitions, by_id: bool, event: Event) -> Result<(), TestCaseError> {
    let names: Vec<String> = (0..60).map(|t| format!("topic-{t}")).collect();
    let key =
        |t: u8| if by_id { TopicKey::Id(Uuid(u128::from(t) + 7)) } else { TopicKey::Name(&names[usize::from(t)]) };
    let at = |model: &Model, t: u8, i: u8| model.iter().position(|e| (e.0, e.1) == (t, i32::from(i)));
    match event {
        Event::Set(t, i, offset) => {
            match at(model, t, i) {
                Some(place) => model[place].2 = offset,
                None => model.push((t, i32::from(i), offset, -1, -1)),
            }
            p.set(key(t), i32::from(i), wanted(offset));
        }
        Event::Forget(t, i) => {
            let place = at(model, t, i);
            prop_assert_eq!(p.forget(key(t), i32::from(i)), place.is_some());
            place.map(|place| model.remove(place));
        }
        Event::Answer(t, i, answer) => {
            let slot = p.find(key(t), i32::from(i));
            let place = at(model, t, i);
            prop_assert_eq!(slot.is_some(), place.is_some());
            let (Some(slot), Some(place)) = (slot, place) else { return Ok(()) };
            let mut e = model.remove(place);
            let news = (e.3, e.4) != (answer.high_watermark, answer.log_start_offset);
            e.3 = if answer.failed { -1 } else { answer.high_watermark };
            e.4 = answer.log_start_offset;
            model.insert(if answer.bytes > 0 { model.len() } else { place }, e);
            let told = news || answer.bytes > 0 || answer.failed || answer.redirected;
            prop_assert_eq!(p.answered(slot, &answer), told);
        }
    }
    let ours: Vec<_> = p.iter().map(|(_, x)| (p.topic(x), x.index, x.wanted.fetch_offset)).collect();
    let theirs: Vec<_> = model.iter().map(|e| (key(e.0), e.1, e.2)).collect();
    prop_assert_eq!(ours, theirs);
    prop_assert_eq!(p.len(), model.len());
    Ok(())
}

proptest! {
    #![proptest_config(crate::testing::cases(128))]

    #[test]
    fn a_list_agrees_with_a_plain_one(by_id: bool, events in prop::collection::vec(event(), 0..400)) {
        let (mut p, mut model) = (Partitions::new(by_id), Model::new());
        for event in events {
            apply(&mut model, &mut p, by_id, event)?;
        }
    }
}
