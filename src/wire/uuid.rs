//! `org.apache.kafka.common.Uuid`: 16 bytes big endian on the wire, 22 characters of unpadded URL-safe base64 as text.

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_LEN: usize = 22;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub u128);

impl Uuid {
    /// No id: also what a null id is written as.
    pub const ZERO: Uuid = Uuid(0);
    /// The topic id of `__cluster_metadata` (KIP-595).
    pub const METADATA_TOPIC_ID: Uuid = Uuid(1);
    /// The directory id of a replica that is being migrated from ZooKeeper (KIP-858, `DirectoryId.MIGRATING`).
    pub const MIGRATING_DIR: Uuid = Uuid(0);
    /// The directory id of a replica that has no directory yet (KIP-858, `DirectoryId.UNASSIGNED`).
    pub const UNASSIGNED_DIR: Uuid = Uuid(1);
    /// The directory id of a replica whose directory is offline (KIP-858, `DirectoryId.LOST`).
    pub const LOST_DIR: Uuid = Uuid(2);

    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Uuid(u128::from_be_bytes(bytes))
    }

    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// A version 4 id made of the caller's randomness. `None` (once in 64 times) when its text would begin with a
    /// dash, which Kafka's `randomUuid` avoids because tools take such a text for an option.
    pub const fn from_random(bits: u128) -> Option<Self> {
        let value = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
        if value >> 122 == 62 { None } else { Some(Uuid(value)) }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; TEXT_LEN];
        // 22 characters hold 132 bits: the last four are zero.
        for (index, character) in text.iter_mut().enumerate() {
            let shift = 122 - 6 * index as i32;
            let bits = if shift >= 0 { self.0 >> shift } else { self.0 << -shift };
            *character = ALPHABET[(bits & 0x3f) as usize];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 22 characters of URL-safe base64 (two padding characters are allowed, as Kafka does).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseUuidError;

impl fmt::Display for ParseUuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a Kafka uuid (22 characters of URL-safe base64)")
    }
}

impl std::error::Error for ParseUuidError {}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let text = text.strip_suffix("==").unwrap_or(text).as_bytes();
        let (&last, head) = text.split_last().ok_or(ParseUuidError)?;
        if text.len() != TEXT_LEN {
            return Err(ParseUuidError);
        }
        let mut value = 0u128;
        for &character in head {
            value = value << 6 | u128::from(sextet(character)?);
        }
        Ok(Uuid(value << 2 | u128::from(sextet(last)? >> 4)))
    }
}

fn sextet(character: u8) -> Result<u8, ParseUuidError> {
    match character {
        b'A'..=b'Z' => Ok(character - b'A'),
        b'a'..=b'z' => Ok(character - b'a' + 26),
        b'0'..=b'9' => Ok(character - b'0' + 52),
        b'-' => Ok(62),
        b'_' => Ok(63),
        _ => Err(ParseUuidError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kafkas() {
        for (value, text) in [
            (0u128, "AAAAAAAAAAAAAAAAAAAAAA"),
            (1, "AAAAAAAAAAAAAAAAAAAAAQ"),
            (u128::MAX, "_____________________w"),
            (0x0123_4567_89ab_cdef_0011_2233_4455_6677, "ASNFZ4mrze8AESIzRFVmdw"),
        ] {
            assert_eq!(Uuid(value).to_string(), text);
            assert_eq!(text.parse(), Ok(Uuid(value)));
            assert_eq!(format!("{text}==").parse(), Ok(Uuid(value)));
        }
        for text in ["", "A", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAA+A", "é"] {
            assert_eq!(text.parse::<Uuid>(), Err(ParseUuidError), "{text}");
        }
    }

    #[test]
    fn random_ids_are_version_4_and_never_start_with_a_dash() {
        let id = Uuid::from_random(0).unwrap();
        assert_eq!(id.to_bytes()[6] >> 4, 4);
        assert_eq!(id.to_bytes()[8] >> 6, 2);
        assert_eq!(Uuid::from_random(62 << 122), None);
    }
}
