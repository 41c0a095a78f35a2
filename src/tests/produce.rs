//! Record sets that are wrong: Kafka's error code, and nothing written.

use crate::batches::{Batch, framed, record};
use crate::broker::{Broker, is_control};
use crate::raw::{self, Answer, Bytes, Connection, Outcome};
use crate::topics;
use wire::records::{Codec, Scratch, compress};

const UNKNOWN_SERVER_ERROR: i16 = -1;
const NONE: i16 = 0;
const CORRUPT_MESSAGE: i16 = 2;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TOPIC: i16 = 17;
const INVALID_REQUIRED_ACKS: i16 = 21;
const INVALID_TIMESTAMP: i16 = 32;
const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
const INVALID_RECORD: i16 = 87;

/// A request of version 8 for one partition.
fn body(acks: i16, topic: &str, partition: i32, records: Option<&[u8]>) -> Bytes {
    let place = Bytes::new().i16(-1).i16(acks).i32(10_000).i32(1).string(topic).i32(1).i32(partition);
    match records {
        None => place.i32(-1),
        Some(records) => place.i32(records.len() as i32).raw(records),
    }
}

/// Error code and base offset of the one partition.
fn outcome(body: &[u8]) -> (i16, i64) {
    let mut answer = Answer(body);
    assert_eq!(answer.i32(), 1, "topics");
    answer.string();
    assert_eq!(answer.i32(), 1, "partitions");
    answer.i32();
    (answer.i16(), answer.i64())
}

fn produce(connection: &mut Connection, topic: &str, records: &[u8]) -> (i16, i64) {
    outcome(&connection.call(raw::PRODUCE, 8, &body(-1, topic, 0, Some(records))).answer("Produce"))
}

/// What is wrong, the record set, and what Kafka says about it.
fn wrong_batches() -> Vec<(&'static str, Vec<u8>, &'static [i16])> {
    let of_records = |count: i32, records: Vec<u8>| Batch::of(count, records).bytes();
    let codec = |id: i16, records: Vec<u8>| {
        let mut batch = Batch::of(1, records);
        batch.attributes = id;
        batch.bytes()
    };
    let two = [Batch::sound().bytes(), Batch::sound().bytes()].concat();
    let body =
        |value: i64, headers: i64| Bytes::new().i8(0).varint(0).varint(0).varint(-1).varint(value).varint(headers);
    let invalid: &[i16] = &[INVALID_RECORD];
    let corrupt: &[i16] = &[CORRUPT_MESSAGE];
    let either: &[i16] = &[CORRUPT_MESSAGE, INVALID_RECORD];
    // Where Kafka's parser throws what nobody expected, it says "unknown"; a code that tells more is as good.
    let unclear: &[i16] = &[CORRUPT_MESSAGE, INVALID_RECORD, UNKNOWN_SERVER_ERROR];
    vec![
        ("no batch at all", Vec::new(), invalid),
        ("two batches", two, invalid),
        ("a flipped checksum", Batch::with(|batch| batch.crc_flip = 1), corrupt),
        ("a header that is cut off", Batch::sound().bytes()[..40].to_vec(), either),
        ("records that are cut off", Batch::sound().bytes()[..65].to_vec(), either),
        ("a batch length of -1", Batch::with(|batch| batch.length = Some(-1)), either),
        ("a batch length of 0", Batch::with(|batch| batch.length = Some(0)), either),
        ("a batch length shorter than its header", Batch::with(|batch| batch.length = Some(48)), either),
        ("a huge batch length", Batch::with(|batch| batch.length = Some(i32::MAX)), unclear),
        ("magic 0", Batch::with(|batch| batch.magic = 0), either),
        ("magic 1", Batch::with(|batch| batch.magic = 1), either),
        ("magic 3", Batch::with(|batch| batch.magic = 3), either),
        ("magic -1", Batch::with(|batch| batch.magic = -1), either),
        ("a base offset", Batch::with(|batch| batch.base_offset = 5), invalid),
        ("no records", Batch::of(0, Vec::new()).bytes(), invalid),
        ("a negative count", Batch::with(|batch| batch.count = -1), invalid),
        ("more records than there are", Batch::with(|batch| batch.count = 2), invalid),
        ("a huge count", Batch::with(|batch| batch.count = i32::MAX), invalid),
        ("a last offset beyond the records", Batch::with(|batch| batch.last_offset_delta = 7), invalid),
        ("a negative last offset", Batch::with(|batch| batch.last_offset_delta = -1), invalid),
        ("a control batch", Batch::with(|batch| batch.attributes = 0x20), invalid),
        ("a producer with no sequence", Batch::with(|batch| batch.producer_id = 1), invalid),
        ("a record longer than the batch", of_records(1, Bytes::new().varint(1000).raw(&[0; 10]).0), invalid),
        ("a record of negative length", of_records(1, Bytes::new().varint(-5).raw(&[0; 10]).0), invalid),
        ("a record with bytes left over", of_records(1, framed(body(-1, 0).raw(&[1, 2, 3]))), invalid),
        ("bytes behind the last record", of_records(1, [record(0, None, None), vec![1]].concat()), invalid),
        ("a value longer than its record", of_records(1, framed(body(1 << 40, 0))), invalid),
        ("a negative number of headers", of_records(1, framed(body(-1, -3))), invalid),
        ("more headers than bytes", of_records(1, framed(body(-1, 1 << 30))), invalid),
        ("a number that does not end", of_records(1, vec![0xff; 12]), unclear),
        ("gzip of nothing", codec(1, vec![1, 2, 3]), unclear),
        ("snappy of nothing", codec(2, vec![0xff; 40]), unclear),
        ("lz4 of nothing", codec(3, vec![0xff; 40]), unclear),
        ("zstd of nothing", codec(4, vec![0xff; 40]), unclear),
    ]
}

#[test]
fn wrong_batches_are_refused_and_leave_nothing() {
    let broker = Broker::start();
    let topic = topics::create(&broker, 1);
    let mut connection = broker.connect();
    let mut faults = Vec::new();
    for (what, records, expected) in wrong_batches() {
        let (code, offset) = produce(&mut connection, &topic, &records);
        if !expected.contains(&code) || offset != -1 {
            faults.push(format!("{what}: error {code} and offset {offset} instead of {expected:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The log is as it was: the next record gets the first offset.
    assert_eq!(produce(&mut connection, &topic, &Batch::sound().bytes()), (NONE, 0));
    broker.assert_goes_on("wrong batches");
}

/// Apache Kafka takes these two from any client; ringmill may refuse them, but what it takes it has to serve.
#[test]
fn odd_batches_are_refused_or_served() {
    let broker = Broker::start();
    let topic = topics::create(&broker, 1);
    let mut connection = broker.connect();
    let same_offset = Batch::of(2, [record(0, None, None), record(0, None, None)].concat()).bytes();
    let (code, _) = produce(&mut connection, &topic, &same_offset);
    assert!([NONE, INVALID_RECORD].contains(&code), "offsets that do not count up: {code}");
    // The broker's timestamp type, set by the client.
    let (code, _) = produce(&mut connection, &topic, &Batch::with(|batch| batch.attributes = 8));
    assert!([NONE, INVALID_TIMESTAMP].contains(&code), "the broker's timestamp type: {code}");
    broker.assert_goes_on("odd batches");
}

#[test]
fn wrong_places_and_sizes_have_their_codes() {
    let broker = Broker::start();
    let topic = topics::create(&broker, 1);
    let mut connection = broker.connect();
    let sound = Batch::sound().bytes();
    let mut code = |acks, topic: &str, partition, records: &[u8]| {
        outcome(&connection.call(raw::PRODUCE, 8, &body(acks, topic, partition, Some(records))).answer("Produce")).0
    };
    assert_eq!(code(2, &topic, 0, &sound), INVALID_REQUIRED_ACKS);
    assert_eq!(code(-2, &topic, 0, &sound), INVALID_REQUIRED_ACKS);
    for partition in [-1, 1, i32::MAX, i32::MIN] {
        assert_eq!(code(-1, &topic, partition, &sound), UNKNOWN_TOPIC_OR_PARTITION, "partition {partition}");
    }
    for name in ["nowhere", "../x", "", "a/b", "nul\0"] {
        let found = code(-1, name, 0, &sound);
        assert!([UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC].contains(&found), "topic {name:?}: {found}");
    }
    let large = Batch::of(1, record(0, None, Some(&[0; 1_100_000]))).bytes();
    assert_eq!(code(-1, &topic, 0, &large), MESSAGE_TOO_LARGE);
    let far = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis() as i64;
    let future = Batch::with(|batch| {
        batch.base_timestamp = far + 7_200_000;
        batch.max_timestamp = batch.base_timestamp;
    });
    assert_eq!(code(-1, &topic, 0, &future), INVALID_TIMESTAMP);
    for timestamp in [i64::MAX, i64::MIN] {
        let extreme = Batch::with(|batch| {
            batch.base_timestamp = timestamp;
            batch.max_timestamp = timestamp;
        });
        let found = code(-1, &topic, 0, &extreme);
        assert!([INVALID_TIMESTAMP, INVALID_RECORD, NONE].contains(&found), "timestamp {timestamp}: {found}");
    }
    broker.assert_goes_on("wrong places");
}

#[test]
fn zstd_is_for_clients_that_know_it() {
    let broker = Broker::start();
    let topic = topics::create(&broker, 1);
    let batch = compressed(Codec::Zstd, 1, &record(0, None, Some(b"value")));
    let old = broker.connect().call(raw::PRODUCE, 3, &body(-1, &topic, 0, Some(&batch))).answer("Produce 3");
    assert_eq!(outcome(&old).0, UNSUPPORTED_COMPRESSION_TYPE);
    assert_eq!(produce(&mut broker.connect(), &topic, &batch).0, NONE);
}

/// With acks=0 there is no answer; what is wrong ends the connection.
#[test]
fn errors_without_an_answer_end_the_connection() {
    let broker = Broker::start();
    let topic = topics::create(&broker, 1);
    let mut connection = broker.connect();
    connection.send(&raw::request(raw::PRODUCE, 8, 1, &body(0, &topic, 0, Some(&Batch::sound().bytes())).0));
    // The next answer on this connection is to the next request.
    assert!(connection.is_served());
    let wrong = Batch::with(|batch| batch.crc_flip = 1);
    connection.send(&raw::request(raw::PRODUCE, 8, 1, &body(0, &topic, 0, Some(&wrong)).0));
    assert_eq!(connection.receive(), Outcome::Closed);
}

/// Kafka never answers a null record set, so its client waits until it gives up.
#[test]
fn a_null_record_set_is_answered() {
    let broker = Broker::start();
    if is_control() {
        return;
    }
    let topic = topics::create(&broker, 1);
    let outcome = broker.connect().call(raw::PRODUCE, 8, &body(-1, &topic, 0, None));
    assert_ne!(outcome, Outcome::Silence);
    broker.assert_goes_on("a null record set");
}

fn compressed(codec: Codec, count: i32, records: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    compress(codec, codec.default_level(), records, &mut Scratch::default(), &mut packed);
    let mut batch = Batch::of(count, packed);
    batch.attributes = codec as i16;
    batch.bytes()
}

/// Little on the wire and a lot behind it. Whether such a batch is taken is the broker's choice; what it costs is not.
#[test]
fn compression_bombs_cost_no_memory() {
    let broker = Broker::start();
    let topic = topics::create(&broker, 1);
    let zeros = record(0, None, Some(&vec![0; 200 << 20]));
    let mut connection = broker.connect();
    produce(&mut connection, &topic, &Batch::sound().bytes());
    let before = broker.resident_peak();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bomb = compressed(codec, 1, &zeros);
        // A size above max.message.bytes is refused before anything is unpacked.
        let small = bomb.len() < 1_000_000;
        let (code, _) = produce(&mut connection, &topic, &bomb);
        assert!(small || code == MESSAGE_TOO_LARGE, "{codec:?}: {} bytes, error {code}", bomb.len());
        broker.assert_goes_on("a compression bomb");
    }
    let grown = broker.resident_peak() - before;
    assert!(is_control() || grown < 64 << 20, "bombs of 200 MiB cost {} MiB", grown >> 20);
}

/// Each record takes seven bytes unpacked and next to nothing packed. Apache Kafka does not survive this.
#[test]
fn millions_of_empty_records_are_no_trouble() {
    if is_control() {
        return;
    }
    let broker = Broker::start();
    let topic = topics::create(&broker, 1);
    const COUNT: i32 = 5_000_000;
    let mut records = Vec::new();
    for offset in 0..COUNT {
        records.extend(record(i64::from(offset), None, None));
    }
    let mut connection = broker.connect();
    produce(&mut connection, &topic, &Batch::sound().bytes());
    let before = broker.resident_peak();
    for codec in [Codec::Gzip, Codec::Zstd] {
        let batch = compressed(codec, COUNT, &records);
        let (code, _) = produce(&mut connection, &topic, &batch);
        assert!([NONE, MESSAGE_TOO_LARGE, INVALID_RECORD, CORRUPT_MESSAGE].contains(&code), "{codec:?}: {code}");
        broker.assert_goes_on("millions of empty records");
    }
    let grown = broker.resident_peak() - before;
    assert!(grown < 64 << 20, "empty records cost {} MiB", grown >> 20);
}
