//! Reading: see [`Decoder`].

use std::borrow::Cow;

use super::{Bytes, DecodeError, Message, Records, STRING_BYTES_MAX, Str};
use crate::uuid::Uuid;

/// What a decode may allocate: this many times the frame, plus a floor so that short frames with empty strings pass.
const BUDGET_FACTOR: usize = 16;
const BUDGET_FLOOR_BYTES: usize = 64 * 1024;

/// Where the tagged fields of one struct are being read.
#[derive(Debug)]
pub struct Tags {
    left: u32,
    /// What must remain once the current tagged field is read.
    remaining_after: usize,
    current: bool,
}

/// Reads values from one frame, front to back.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    rest: &'a [u8],
    size: usize,
    budget: usize,
}

impl<'a> Decoder<'a> {
    /// A decoder over `frame` that may allocate 16 times its size plus 64 KiB.
    pub fn new(frame: &'a [u8]) -> Self {
        Self::with_budget(frame, frame.len().saturating_mul(BUDGET_FACTOR).saturating_add(BUDGET_FLOOR_BYTES))
    }

    /// A decoder over `frame` that may allocate `budget` bytes for arrays and owned strings.
    pub fn with_budget(frame: &'a [u8], budget: usize) -> Self {
        Decoder { rest: frame, size: frame.len(), budget }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Bytes read so far: the index in the frame of the next byte.
    pub fn position(&self) -> usize {
        self.size - self.rest.len()
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Fails when bytes are left over.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    pub fn skip(&mut self, len: usize) -> Result<(), DecodeError> {
        self.take(len).map(|_| ())
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// Any byte but 0 is true, as Kafka reads it.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.fixed().map(i8::from_be_bytes)
    }

    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.fixed().map(i16::from_be_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.fixed().map(u16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.fixed().map(i32::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.fixed().map(u32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.fixed().map(i64::from_be_bytes)
    }

    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.fixed().map(f64::from_be_bytes)
    }

    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.fixed().map(Uuid::from_bytes)
    }

    /// An unsigned varint of at most 5 bytes.
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        match self.rest.first() {
            Some(&byte) if byte < 0x80 => {
                self.rest = &self.rest[1..];
                Ok(u32::from(byte))
            }
            _ => u32::try_from(self.varbits(5)?).map_err(|_| DecodeError::VarintTooLong),
        }
    }

    /// An unsigned varint of at most 10 bytes.
    pub fn uvarlong(&mut self) -> Result<u64, DecodeError> {
        self.varbits(10)
    }

    /// A zigzag varint of at most 5 bytes.
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let raw = self.uvarint()?;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// A zigzag varint of at most 10 bytes.
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let raw = self.uvarlong()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    fn varbits(&mut self, bytes_max: usize) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (index, &byte) in self.rest.iter().take(bytes_max).enumerate() {
            // The tenth byte has room for one bit.
            if index == 9 && byte > 1 {
                return Err(DecodeError::VarintTooLong);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < bytes_max { DecodeError::Truncated } else { DecodeError::VarintTooLong })
    }

    /// A compact length: one more than the length, 0 for null.
    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.uvarint()?.checked_sub(1).map(|length| length as usize))
    }

    /// The length of bytes or records, or the count of an array. `None` is null.
    pub fn length(&mut self, flex: bool) -> Result<Option<usize>, DecodeError> {
        if flex {
            return self.compact_length();
        }
        match self.i32()? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| DecodeError::NegativeLength),
        }
    }

    fn string_length(&mut self, flex: bool) -> Result<Option<usize>, DecodeError> {
        if flex {
            return match self.compact_length()? {
                Some(length) if length > STRING_BYTES_MAX => Err(DecodeError::StringTooLong),
                length => Ok(length),
            };
        }
        match self.i16()? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| DecodeError::NegativeLength),
        }
    }

    /// A string that may be null if `nullable`.
    pub fn opt_str(&mut self, flex: bool, nullable: bool) -> Result<Option<&'a str>, DecodeError> {
        let Some(length) = self.string_length(flex)? else {
            return null_if(nullable);
        };
        std::str::from_utf8(self.take(length)?).map(Some).map_err(|_| DecodeError::InvalidUtf8)
    }

    pub fn str(&mut self, flex: bool) -> Result<&'a str, DecodeError> {
        self.opt_str(flex, false)?.ok_or(DecodeError::NullNotAllowed)
    }

    pub fn string(&mut self, flex: bool) -> Result<Str<'a>, DecodeError> {
        self.str(flex).map(Cow::Borrowed)
    }

    pub fn opt_string(&mut self, flex: bool, nullable: bool) -> Result<Option<Str<'a>>, DecodeError> {
        Ok(self.opt_str(flex, nullable)?.map(Cow::Borrowed))
    }

    pub fn owned_string(&mut self, flex: bool) -> Result<String, DecodeError> {
        self.opt_owned_string(flex, false)?.ok_or(DecodeError::NullNotAllowed)
    }

    pub fn opt_owned_string(&mut self, flex: bool, nullable: bool) -> Result<Option<String>, DecodeError> {
        let Some(value) = self.opt_str(flex, nullable)? else {
            return Ok(None);
        };
        self.charge(value.len())?;
        Ok(Some(value.to_owned()))
    }

    /// Bytes that may be null if `nullable`.
    pub fn opt_slice(&mut self, flex: bool, nullable: bool) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.length(flex)? {
            Some(length) => self.take(length).map(Some),
            None => null_if(nullable),
        }
    }

    pub fn bytes(&mut self, flex: bool) -> Result<Bytes<'a>, DecodeError> {
        self.opt_slice(flex, false)?.map(Cow::Borrowed).ok_or(DecodeError::NullNotAllowed)
    }

    pub fn opt_bytes(&mut self, flex: bool, nullable: bool) -> Result<Option<Bytes<'a>>, DecodeError> {
        Ok(self.opt_slice(flex, nullable)?.map(Cow::Borrowed))
    }

    pub fn owned_bytes(&mut self, flex: bool) -> Result<Vec<u8>, DecodeError> {
        self.opt_owned_bytes(flex, false)?.ok_or(DecodeError::NullNotAllowed)
    }

    pub fn opt_owned_bytes(&mut self, flex: bool, nullable: bool) -> Result<Option<Vec<u8>>, DecodeError> {
        let Some(value) = self.opt_slice(flex, nullable)? else {
            return Ok(None);
        };
        self.charge(value.len())?;
        Ok(Some(value.to_owned()))
    }

    pub fn records(&mut self, flex: bool, nullable: bool) -> Result<Records<'a>, DecodeError> {
        Ok(self.opt_slice(flex, nullable)?.map_or(Records::Null, Records::Bytes))
    }

    pub fn array<T: Message<'a>>(&mut self, flex: bool, version: i16) -> Result<Vec<T>, DecodeError> {
        self.opt_array(flex, false, version)?.ok_or(DecodeError::NullNotAllowed)
    }

    /// An array that may be null if `nullable`.
    pub fn opt_array<T: Message<'a>>(
        &mut self,
        flex: bool,
        nullable: bool,
        version: i16,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.count(flex, nullable, T::MIN_SIZE)? else {
            return Ok(None);
        };
        self.charge(count.saturating_mul(size_of::<T>()))?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(T::decode(self, version)?);
        }
        Ok(Some(items))
    }

    pub fn strings(&mut self, flex: bool) -> Result<Vec<Str<'a>>, DecodeError> {
        self.opt_strings(flex, false)?.ok_or(DecodeError::NullNotAllowed)
    }

    pub fn opt_strings(&mut self, flex: bool, nullable: bool) -> Result<Option<Vec<Str<'a>>>, DecodeError> {
        let Some(count) = self.count(flex, nullable, if flex { 1 } else { 2 })? else {
            return Ok(None);
        };
        self.charge(count.saturating_mul(size_of::<Str<'a>>()))?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.string(flex)?);
        }
        Ok(Some(items))
    }

    pub fn owned_strings(&mut self, flex: bool) -> Result<Vec<String>, DecodeError> {
        self.opt_owned_strings(flex, false)?.ok_or(DecodeError::NullNotAllowed)
    }

    pub fn opt_owned_strings(&mut self, flex: bool, nullable: bool) -> Result<Option<Vec<String>>, DecodeError> {
        let Some(count) = self.count(flex, nullable, if flex { 1 } else { 2 })? else {
            return Ok(None);
        };
        self.charge(count.saturating_mul(size_of::<String>()))?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.owned_string(flex)?);
        }
        Ok(Some(items))
    }

    /// A struct that may be null: an int8 below 0 for null, else a value follows. Not nullable: the value alone.
    pub fn opt_struct<T: Message<'a>>(&mut self, nullable: bool, version: i16) -> Result<Option<T>, DecodeError> {
        if nullable && self.i8()? < 0 {
            return Ok(None);
        }
        T::decode(self, version).map(Some)
    }

    /// A struct that may be null in a tagged field, where an unsigned varint of 0 stands for null.
    pub fn opt_tagged_struct<T: Message<'a>>(&mut self, version: i16) -> Result<Option<T>, DecodeError> {
        if self.uvarint()? == 0 {
            return Ok(None);
        }
        T::decode(self, version).map(Some)
    }

    /// The count of an array whose elements take at least `element_bytes_min` each. `None` is null.
    pub fn count(
        &mut self,
        flex: bool,
        nullable: bool,
        element_bytes_min: usize,
    ) -> Result<Option<usize>, DecodeError> {
        match self.length(flex)? {
            None => null_if(nullable),
            Some(count) if count > self.rest.len() / element_bytes_min.max(1) => Err(DecodeError::CountTooLarge),
            count => Ok(count),
        }
    }

    /// Takes `bytes` from the budget before they are allocated.
    pub fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.budget = self.budget.checked_sub(bytes).ok_or(DecodeError::OverBudget)?;
        Ok(())
    }

    /// Begins the tagged fields of a struct; a tag takes at least two bytes.
    pub fn tags(&mut self) -> Result<Tags, DecodeError> {
        let left = self.uvarint()?;
        if left as usize > self.rest.len() / 2 {
            return Err(DecodeError::CountTooLarge);
        }
        Ok(Tags { left, remaining_after: 0, current: false })
    }

    /// The next tag, whose value comes next; `None` after the last one. The previous value must be read exactly.
    pub fn next_tag(&mut self, tags: &mut Tags) -> Result<Option<u32>, DecodeError> {
        if tags.current && self.rest.len() != tags.remaining_after {
            return Err(DecodeError::TagSizeMismatch);
        }
        if tags.left == 0 {
            return Ok(None);
        }
        let tag = self.uvarint()?;
        let size = self.uvarint()? as usize;
        tags.remaining_after = self.rest.len().checked_sub(size).ok_or(DecodeError::Truncated)?;
        tags.left -= 1;
        tags.current = true;
        Ok(Some(tag))
    }

    /// Passes over the value of a tag that this release does not know.
    pub fn skip_tag(&mut self, tags: &Tags) -> Result<(), DecodeError> {
        self.skip(self.rest.len().checked_sub(tags.remaining_after).ok_or(DecodeError::TagSizeMismatch)?)
    }

    /// Passes over all tagged fields of a struct that has none of its own.
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        if self.rest.first() == Some(&0) {
            self.rest = &self.rest[1..];
            return Ok(());
        }
        let mut tags = self.tags()?;
        while self.next_tag(&mut tags)?.is_some() {
            self.skip_tag(&tags)?;
        }
        Ok(())
    }
}

fn null_if<T>(nullable: bool) -> Result<Option<T>, DecodeError> {
    if nullable { Ok(None) } else { Err(DecodeError::NullNotAllowed) }
}
