//! Both ways against Apache Kafka's classes: random batches of Java read here, random batches of ours read by Java.
//! Run where `RINGMILL_KAFKA_LIBS` names the directory of Kafka's jars; elsewhere they pass without a look.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::text::dump;
use super::*;

#[test]
fn java_batches_of_any_seed_read_as_java_put_them_in() {
    let Some(dir) = Dir::new("from-java") else { return };
    for seed in [2, 3] {
        java(&["write", dir.text(), &seed.to_string(), "large"]);
        let bytes = std::fs::read(dir.0.join("java.batches")).unwrap();
        assert_eq!(dump(&bytes), std::fs::read_to_string(dir.0.join("java.txt")).unwrap());
    }
}

#[test]
fn java_reads_our_batches_as_we_put_them_in() {
    let Some(dir) = Dir::new("to-java") else { return };
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
    std::fs::write(&file, &bytes).unwrap();
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

fn java(args: &[&str]) -> String {
    let libs = std::env::var("RINGMILL_KAFKA_LIBS").unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/BatchOracle.java");
    let mut command = Command::new("java");
    command.args(["-cp", &format!("{libs}/*")]).arg(source).args(args);
    let output = command.output().expect("run java");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A directory that goes with the test. `None` where there is no Java side.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Option<Self> {
        std::env::var_os("RINGMILL_KAFKA_LIBS")?;
        let path = std::env::temp_dir().join(format!("ringmill-batches-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Some(Self(path))
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
