use rdkafka::error::RDKafkaErrorCode as Code;

use super::*;

const LOST: WriteResult = WriteResult::Lost(Code::MessageTimedOut);
const REJECTED: WriteResult = WriteResult::Rejected(Code::NotEnoughReplicas);

fn written(offset: i64) -> WriteResult {
    WriteResult::Written { partition: 0, offset }
}

fn ids(numbers: &[u128]) -> Vec<RowHash> {
    numbers.iter().map(|number| RowHash(*number)).collect()
}

fn unread() -> Arc<Mutex<DedupIndex>> {
    let window = SignedDuration::from_mins(10);
    Arc::new(Mutex::new(DedupIndex::new("topic", window, Timestamp::UNIX_EPOCH)))
}

/// The index of an empty topic of one partition.
fn dedup() -> Arc<Mutex<DedupIndex>> {
    let dedup = unread();
    read(&dedup, &[], 0);
    dedup
}

/// Reads the topic, where these events are found. Returns where the read began.
fn read(dedup: &Arc<Mutex<DedupIndex>>, found: &[u128], at: i64) -> ReadStart {
    let (_, reader) = DedupIndex::join_read(dedup);
    let reader = reader.expect("no read is under way");
    let start = reader.start().clone();
    reader.know(ids(found).into_iter().map(|id| (id, minute(at))), minute(at));
    reader.finish(&Offsets::from([(0, found.len() as i64)]));
    start
}

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).expect("timestamp")
}

fn try_split(dedup: &Arc<Mutex<DedupIndex>>, numbers: &[u128], at: i64) -> Option<SplitAppend> {
    DedupIndex::split(dedup, &ids(numbers), minute(at))
}

fn split(dedup: &Arc<Mutex<DedupIndex>>, numbers: &[u128], at: i64) -> SplitAppend {
    try_split(dedup, numbers, at).expect("nothing has to be read")
}

#[test]
fn an_event_is_fresh_until_it_has_landed_and_again_after_the_window() {
    let dedup = dedup();
    let first = split(&dedup, &[1, 2, 1], 0);
    assert_eq!((first.fresh, first.duplicates), (vec![0, 1], 1));
    first.landing.land(&[written(0), REJECTED]);
    let second = split(&dedup, &[1, 2], 0);
    assert_eq!((second.fresh, second.duplicates), (vec![1], 1));
    second.landing.cancel();
    split(&dedup, &[3], 9).landing.land(&[written(1)]);
    assert_eq!(split(&dedup, &[1, 3], 10).fresh, [0; 0]);
    split(&dedup, &[1], 11).landing.cancel();
    assert_eq!(split(&dedup, &[1, 3], 20).fresh, [0, 1]);
}

#[tokio::test]
async fn a_duplicate_of_an_event_in_flight_waits_for_its_end() {
    let dedup = dedup();
    let first = split(&dedup, &[1], 0);
    let second = split(&dedup, &[1, 2], 0);
    assert_eq!(second.fresh, [1]);
    first.landing.land(&[written(0)]);
    assert!(second.others.landed().await);

    let first = split(&dedup, &[3], 0);
    let second = split(&dedup, &[3], 0);
    drop(first);
    assert!(!second.others.landed().await);
}

#[test]
fn nothing_is_new_before_the_topic_was_read() {
    let dedup = unread();
    assert!(try_split(&dedup, &[1], 0).is_none());
    let (_, reader) = DedupIndex::join_read(&dedup);
    assert!(DedupIndex::join_read(&dedup).1.is_none(), "one read at a time");
    let reader = reader.expect("the first one reads");
    reader.know(ids(&[1]).into_iter().map(|id| (id, minute(0))), minute(0));
    // Half of it is not all of it.
    reader.fail("gone", "wait");
    assert!(try_split(&dedup, &[2], 0).is_none());
    assert!(matches!(read(&dedup, &[1], 0), ReadStart::Window(_)));
    assert_eq!(split(&dedup, &[1, 2], 0).fresh, [1]);
}

#[test]
fn an_event_whose_result_was_lost_is_looked_for_and_the_others_do_not_wait() {
    let dedup = dedup();
    split(&dedup, &[1], 0).landing.land(&[written(0)]);
    split(&dedup, &[2, 3], 0).landing.land(&[LOST, LOST]);
    // The caller of this one was gone.
    drop(split(&dedup, &[4], 0).landing);
    for lost in 2..=4 {
        assert!(try_split(&dedup, &[1, lost], 0).is_none(), "{lost}");
    }
    split(&dedup, &[5], 0).landing.land(&[written(3)]);

    let start = read(&dedup, &[2], 0);
    assert!(matches!(start, ReadStart::At(offsets) if offsets == Offsets::from([(0, 1)])));
    let again = split(&dedup, &[1, 2, 3, 4, 5], 0);
    assert_eq!((again.fresh, again.duplicates), (vec![2, 3], 3));
}

#[test]
fn an_event_that_is_lost_while_the_topic_is_read_is_looked_for_once_more() {
    let dedup = dedup();
    let later = split(&dedup, &[2], 0);
    split(&dedup, &[1], 0).landing.land(&[LOST]);
    let (_, reader) = DedupIndex::join_read(&dedup);
    later.landing.land(&[LOST]);
    reader.expect("it reads").finish(&Offsets::from([(0, 7)]));
    assert!(try_split(&dedup, &[2], 0).is_none());
    assert_eq!(split(&dedup, &[1], 0).fresh, [0]);
    assert!(matches!(read(&dedup, &[], 0), ReadStart::At(offsets) if offsets == Offsets::from([(0, 0)])));
}

#[test]
fn any_number_of_events_leaves_two_million_ids_in_memory() {
    let dedup = dedup();
    let mut index = lock(&dedup);
    for number in 0..2_100_000 {
        index.know(RowHash(number), minute(0), minute(0));
    }
    assert!(index.young.len() + index.old.len() <= 2_000_000);
    assert!(index.knows(&RowHash(2_099_999), minute(0)) && index.knows(&RowHash(1_100_000), minute(0)));
}
