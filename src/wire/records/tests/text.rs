//! Batches in the words of `BatchOracle.java`.

use std::fmt::Write;

use super::*;

/// Every batch and record of `bytes`, checked and put into words.
pub(super) fn dump(bytes: &[u8]) -> String {
    let (mut out, mut scratch) = (String::new(), Scratch::new());
    let mut batches = Batches::new(bytes);
    for batch in &mut batches {
        let batch = batch.unwrap();
        assert!(batch.crc_matches());
        head(&mut out, &batch.header);
        let append_time = batch.header.timestamp_type() == TimestampType::LogAppendTime;
        for record in batch.records(&mut scratch, LIMIT).unwrap() {
            let record = record.unwrap();
            let offset = batch.header.base_offset + i64::from(record.offset_delta);
            let created = batch.header.base_timestamp + record.timestamp_delta;
            let timestamp = if append_time { batch.header.max_timestamp } else { created };
            let kind = if batch.header.is_control() { control_name(record.key.unwrap()) } else { "-" };
            write!(out, "{offset} {timestamp} {} {} {kind}", words(record.key), words(record.value)).unwrap();
            for header in record.headers {
                write!(out, " {}:{}", words(Some(header.key)), words(header.value)).unwrap();
            }
            out.push('\n');
        }
    }
    assert!(batches.rest().is_empty());
    out
}

fn head(out: &mut String, h: &BatchHeader) {
    let time = if h.timestamp_type() == TimestampType::CreateTime { "CreateTime" } else { "LogAppendTime" };
    write!(out, "batch base={} last={} epoch={} ", h.base_offset, h.last_offset(), h.leader_epoch).unwrap();
    write!(out, "codec={} time={time} txn={} ", h.codec().unwrap(), h.is_transactional()).unwrap();
    write!(out, "control={} horizon={} ", h.is_control(), h.delete_horizon_ms().unwrap_or(-1)).unwrap();
    write!(out, "pid={}/{} seq={}..{} ", h.producer_id, h.producer_epoch, h.base_sequence, h.last_sequence()).unwrap();
    writeln!(out, "max={} count={}", h.max_timestamp, h.records_count).unwrap();
}

fn control_name(key: &[u8]) -> &'static str {
    match control_record_type(key).unwrap() {
        ControlRecordType::Abort => "ABORT",
        ControlRecordType::Commit => "COMMIT",
        ControlRecordType::LeaderChange => "LEADER_CHANGE",
        ControlRecordType::SnapshotHeader => "SNAPSHOT_HEADER",
        ControlRecordType::SnapshotFooter => "SNAPSHOT_FOOTER",
        ControlRecordType::KraftVersion => "KRAFT_VERSION",
        ControlRecordType::KraftVoters => "KRAFT_VOTERS",
    }
}

fn words(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".into(),
        Some(bytes) if bytes.len() <= 24 => bytes.iter().fold("x".into(), |out, byte| format!("{out}{byte:02x}")),
        Some(bytes) => format!("{}#{:08x}", bytes.len(), crc32c(bytes)),
    }
}
