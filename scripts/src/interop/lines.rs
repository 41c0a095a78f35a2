//! Records as lines of text, the form that every client program reads and writes.
//!
//! partition, offset (only when read), timestamp, key, value, headers; separated by tabs. Bytes are `x` and hex digits,
//! null is `-`; headers are `name=value` joined by `;`, and `.` when there are none.

use std::fmt::Write;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub partition: u32,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Record {
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{}\t{}\t{}\t{}\t", self.partition, self.timestamp, pack(&self.key), pack(&self.value));
        let headers = self.headers.iter().map(|(name, value)| format!("{}={}", pack(&Some(name.clone())), pack(value)));
        let joined = headers.collect::<Vec<_>>().join(";");
        line.push_str(if joined.is_empty() { "." } else { &joined });
        line
    }
}

/// What a client read: lines with their offsets, by partition and offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub partition: u32,
    pub offset: i64,
    /// timestamp, key, value and headers, as the client printed them
    pub rest: String,
}

pub(crate) fn parse_read(text: &str) -> Result<Vec<Read>, String> {
    let mut records = Vec::new();
    for line in text.lines() {
        let mut columns = line.splitn(3, '\t');
        let mut next = || columns.next().ok_or_else(|| format!("not a record: {}", shortened(line)));
        let (partition, offset, rest) = (next()?, next()?, next()?);
        let number = |text: &str| text.parse::<i64>().map_err(|e| format!("{text}: {e}"));
        records.push(Read { partition: number(partition)? as u32, offset: number(offset)?, rest: rest.to_owned() });
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

/// Compares what was read with what was written: the same records in the same order in each partition, and offsets
/// that count up from 0 with no hole.
pub(crate) fn same(written: &[Record], read: &[Read]) -> Result<(), String> {
    let mut expected: Vec<(u32, i64, String)> = Vec::new();
    for record in written {
        let offset = expected.iter().filter(|(partition, ..)| *partition == record.partition).count() as i64;
        let line = record.line();
        let rest = line.split_once('\t').expect("a record has columns").1;
        expected.push((record.partition, offset, rest.to_owned()));
    }
    expected.sort_by_key(|(partition, offset, _)| (*partition, *offset));
    if expected.len() != read.len() {
        return Err(format!("{} records written, {} read", expected.len(), read.len()));
    }
    for ((partition, offset, rest), found) in expected.iter().zip(read) {
        if (*partition, *offset) != (found.partition, found.offset) {
            return Err(format!(
                "offset {offset} of partition {partition} came as {} of {}",
                found.offset, found.partition
            ));
        }
        if *rest != found.rest {
            let (wrote, got) = (shortened(rest), shortened(&found.rest));
            return Err(format!("partition {partition} offset {offset}\nwritten {wrote}\nread    {got}"));
        }
    }
    Ok(())
}

pub(crate) fn pack(bytes: &Option<Vec<u8>>) -> String {
    let Some(bytes) = bytes else { return "-".to_owned() };
    let mut text = String::with_capacity(bytes.len() * 2 + 1);
    text.push('x');
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string");
    }
    text
}

fn shortened(text: &str) -> String {
    if text.len() <= 300 { text.to_owned() } else { format!("{}... ({} characters)", &text[..300], text.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: u32, value: &[u8]) -> Record {
        let headers = vec![(b"h".to_vec(), None), (b"".to_vec(), Some(vec![0xff]))];
        Record { partition, timestamp: 17, key: None, value: Some(value.to_vec()), headers }
    }

    #[test]
    fn a_line_tells_null_from_empty() {
        assert_eq!(record(3, b"").line(), "3\t17\t-\tx\tx68=-;x=xff");
    }

    #[test]
    fn what_was_written_is_compared_in_the_order_of_each_partition() {
        let written = [record(1, b"a"), record(0, b"b"), record(1, b"c")];
        let text = "1\t0\t17\t-\tx61\tx68=-;x=xff\n1\t1\t17\t-\tx63\tx68=-;x=xff\n0\t0\t17\t-\tx62\tx68=-;x=xff\n";
        assert_eq!(same(&written, &parse_read(text).unwrap()), Ok(()));
        let swapped = text.replace("x61", "xAA");
        assert!(same(&written, &parse_read(&swapped).unwrap()).unwrap_err().contains("offset 0"));
        let hole = text.replace("1\t1\t17", "1\t2\t17");
        assert!(same(&written, &parse_read(&hole).unwrap()).is_err());
    }
}
