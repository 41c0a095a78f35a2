//! Both ways against Apache Kafka's classes: random batches of Java read here, random batches of ours read by Java.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::text::dump;
use super::*;

#[test]
#[ignore = "needs Java and Apache Kafka's jars"]
fn large_java_batches_read_as_java_put_them_in() {
    let dir = Dir::new("from-java");
    java(&["write", dir.text(), "2", "large"]);
    let bytes = fs::read(dir.0.join("java.batches")).unwrap();
    assert_eq!(dump(&bytes), fs::read_to_string(dir.0.join("java.txt")).unwrap());
}

#[test]
#[ignore = "needs Java and Apache Kafka's jars"]
fn java_reads_our_batches_as_we_put_them_in() {
    let dir = Dir::new("to-java");
    let (mut dice, mut scratch, mut bytes) = (Dice::new(4), Scratch::new(), Vec::new());
    let mut offset = 5;
    for round in 0..20 {
        for (codec, level) in levels() {
            let batch = random_batch(&mut dice, offset, codec, level, round, &mut scratch);
            offset = whole(&batch).header.next_offset();
            bytes.extend(batch);
        }
    }
    // Java's batches, compressed anew.
    for batch in Batches::new(JAVA).map(|batch| batch.unwrap()) {
        if !batch.header.is_control() && batch.header.records_count > 0 {
            for (codec, level) in levels() {
                bytes.extend(recompress(&batch, codec, level, &mut scratch, LIMIT).unwrap());
            }
        }
    }
    let file = dir.0.join("ours.batches");
    fs::write(&file, &bytes).unwrap();
    let theirs = java(&["read", file.to_str().unwrap()]);
    assert_eq!(theirs, dump(&bytes));
}

fn levels() -> Vec<(Codec, i32)> {
    let mut levels: Vec<_> = CODECS.iter().map(|&codec| (codec, codec.default_level())).collect();
    levels.extend([(Codec::Gzip, 1), (Codec::Gzip, 9), (Codec::Zstd, -7), (Codec::Zstd, 12)]);
    levels
}

fn random_batch(dice: &mut Dice, base: i64, codec: Codec, level: i32, round: usize, scratch: &mut Scratch) -> Vec<u8> {
    let mut builder = BatchBuilder::new(base).codec(codec, level).leader_epoch(dice.below(50) as i32);
    if dice.below(2) == 0 {
        builder = builder.producer(dice.below(1 << 40) as i64, dice.below(1 << 15) as i16, i32::MAX - 3);
    }
    if dice.below(4) == 0 {
        builder = builder.transactional();
    }
    if dice.below(4) == 0 {
        builder = builder.append_time(1_750_000_000_000);
    }
    if round % 10 == 9 {
        let kind = [ControlRecordType::Commit, ControlRecordType::Abort][dice.below(2)];
        builder.push_control(7, kind, &[0, 0, 0, 0, 0, 9]).unwrap();
        return builder.finish(scratch);
    }
    let size = [3, 40, 1000, 30_000][dice.below(4)];
    for _ in 0..=dice.below(20) {
        let (key, value, more) = (dice.bytes(size / 3 + 1), dice.text(size), dice.bytes(5));
        let headers = [(&b"one"[..], Some(&more[..])), (b"two", None), (b"", Some(&value[..]))];
        builder
            .push(
                1_700_000_000_000 + dice.below(100_000) as i64,
                (dice.below(3) > 0).then_some(&key),
                (dice.below(5) > 0).then_some(&value),
                &headers[..dice.below(4)],
            )
            .unwrap();
    }
    builder.finish(scratch)
}

/// With RINGMILL_BLESS in the environment the golden batches are written anew.
#[test]
#[ignore = "needs Java and Apache Kafka's jars"]
fn golden_batches_are_what_java_writes() {
    let dir = Dir::new("golden");
    java(&["write", dir.text(), "1", "small"]);
    if env::var_os("RINGMILL_BLESS").is_some() {
        for name in ["java.batches", "java.txt"] {
            let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("records/golden").join(name);
            fs::copy(dir.0.join(name), golden).unwrap();
        }
    }
    // The compressed bytes are the matter of Java's libraries; what they stand for is not.
    let theirs = fs::read_to_string(dir.0.join("java.txt")).unwrap();
    assert!(theirs == JAVA_TEXT, "records/golden/java.txt is not what `BatchOracle write DIR 1 small` writes");
    assert_eq!(dump(&fs::read(dir.0.join("java.batches")).unwrap()), theirs);
}

fn java(args: &[&str]) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/BatchOracle.java");
    let mut command = Command::new("java");
    command.args(["-XX:+UseSerialGC", "-Xmx1g", "-cp"]).arg(libs().join("*")).arg(source).args(args);
    let output = command.output().expect("run java");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// RINGMILL_KAFKA_LIBS, or where `cargo x deps` puts Kafka's jars.
fn libs() -> PathBuf {
    let cache = || {
        let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache");
        env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("ringmill/kafka")
    };
    let libs = env::var_os("RINGMILL_KAFKA_LIBS").map_or_else(cache, PathBuf::from);
    assert!(libs.is_dir(), "{} is missing: `cargo x deps` fetches Kafka's jars", libs.display());
    libs
}

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("ringmill-batches-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
