//! Writing: see [`Encoder`].

use super::{Message, Records, STRING_BYTES_MAX, Splice};
use crate::uuid::Uuid;

/// Appends values to one buffer.
#[derive(Debug, Default, Clone)]
pub struct Encoder {
    pub buf: Vec<u8>,
    /// In ascending order of `at`.
    pub splices: Vec<Splice>,
}

impl From<Vec<u8>> for Encoder {
    /// An encoder that appends to `buf`, for instance a buffer used before.
    fn from(buf: Vec<u8>) -> Self {
        Encoder { buf, splices: Vec::new() }
    }
}

impl Encoder {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_capacity(bytes: usize) -> Self {
        Vec::with_capacity(bytes).into()
    }

    /// Size in bytes with everything that is spliced in.
    pub fn total_len(&self) -> usize {
        self.buf.len() + self.splices.iter().map(|splice| splice.len).sum::<usize>()
    }

    /// Leaves room for the int32 size of a frame. Must come first: the size counts everything behind it.
    pub fn begin_frame(&mut self) {
        debug_assert!(self.buf.is_empty() && self.splices.is_empty());
        self.i32(0);
    }

    /// Writes the size of the frame begun with [`Encoder::begin_frame`].
    ///
    /// Panics when it is 2 GiB or more: a response is bounded long before.
    pub fn end_frame(&mut self) {
        let size = i32::try_from(self.total_len() - 4).expect("a frame is smaller than 2 GiB");
        self.buf[..4].copy_from_slice(&size.to_be_bytes());
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    pub fn bool(&mut self, value: bool) {
        self.buf.push(u8::from(value));
    }

    pub fn i8(&mut self, value: i8) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    pub fn f64(&mut self, value: f64) {
        self.raw(&value.to_be_bytes());
    }

    pub fn uuid(&mut self, value: Uuid) {
        self.raw(&value.to_bytes());
    }

    pub fn uvarint(&mut self, value: u32) {
        self.uvarlong(u64::from(value));
    }

    pub fn uvarlong(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.buf.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buf.push(value as u8);
    }

    pub fn varint(&mut self, value: i32) {
        self.uvarint(((value << 1) ^ (value >> 31)) as u32);
    }

    pub fn varlong(&mut self, value: i64) {
        self.uvarlong(((value << 1) ^ (value >> 63)) as u64);
    }

    /// The length of bytes or records, or the count of an array.
    ///
    /// Panics at 2 GiB: what is encoded was bounded before.
    pub fn length(&mut self, flex: bool, length: usize) {
        let length = i32::try_from(length).expect("a length is below 2 GiB");
        if flex { self.uvarint(length as u32 + 1) } else { self.i32(length) }
    }

    /// A null of bytes, records or an array; an empty value where null cannot be written.
    fn null(&mut self, flex: bool, nullable: bool) {
        match (flex, nullable) {
            (_, false) => self.length(flex, 0),
            (true, true) => self.buf.push(0),
            (false, true) => self.i32(-1),
        }
    }

    /// A string. One of more than 32,767 bytes is cut at a character border, so that the frame stays readable.
    pub fn string(&mut self, flex: bool, value: &str) {
        let value = &value[..value.floor_char_boundary(STRING_BYTES_MAX)];
        if flex {
            self.uvarint(value.len() as u32 + 1)
        } else {
            self.i16(value.len() as i16)
        }
        self.raw(value.as_bytes());
    }

    pub fn opt_string(&mut self, flex: bool, nullable: bool, value: Option<&str>) {
        match value {
            Some(value) => self.string(flex, value),
            None if !nullable => self.string(flex, ""),
            None if flex => self.buf.push(0),
            None => self.i16(-1),
        }
    }

    pub fn bytes(&mut self, flex: bool, value: &[u8]) {
        self.length(flex, value.len());
        self.raw(value);
    }

    pub fn opt_bytes(&mut self, flex: bool, nullable: bool, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bytes(flex, value),
            None => self.null(flex, nullable),
        }
    }

    pub fn records(&mut self, flex: bool, nullable: bool, value: &Records<'_>) {
        match *value {
            Records::Null => self.null(flex, nullable),
            Records::Bytes(bytes) => self.bytes(flex, bytes),
            Records::Splice { len, id } => {
                self.length(flex, len);
                self.splices.push(Splice { at: self.buf.len(), len, id });
            }
        }
    }

    pub fn array<'a, T: Message<'a>>(&mut self, flex: bool, items: &[T], version: i16) {
        self.length(flex, items.len());
        for item in items {
            item.encode(self, version);
        }
    }

    pub fn opt_array<'a, T: Message<'a>>(&mut self, flex: bool, nullable: bool, items: &Option<Vec<T>>, version: i16) {
        match items {
            Some(items) => self.array(flex, items, version),
            None => self.null(flex, nullable),
        }
    }

    pub fn strings<S: AsRef<str>>(&mut self, flex: bool, items: &[S]) {
        self.length(flex, items.len());
        for item in items {
            self.string(flex, item.as_ref());
        }
    }

    pub fn opt_strings<S: AsRef<str>>(&mut self, flex: bool, nullable: bool, items: &Option<Vec<S>>) {
        match items {
            Some(items) => self.strings(flex, items),
            None => self.null(flex, nullable),
        }
    }

    /// See [`super::Decoder::opt_struct`]; null where null cannot be written becomes the default value.
    pub fn opt_struct<'a, T: Message<'a>>(&mut self, nullable: bool, value: &Option<T>, version: i16) {
        if nullable {
            self.i8(if value.is_some() { 1 } else { -1 });
        }
        match value {
            Some(value) => value.encode(self, version),
            None if nullable => {}
            None => T::default().encode(self, version),
        }
    }

    /// See [`super::Decoder::opt_tagged_struct`].
    pub fn opt_tagged_struct<'a, T: Message<'a>>(&mut self, value: &Option<T>, version: i16) {
        self.bool(value.is_some());
        if let Some(value) = value {
            value.encode(self, version);
        }
    }

    /// Begins the tagged fields of a struct and gives the position of their count.
    pub fn begin_tags(&mut self) -> usize {
        self.buf.push(0);
        self.buf.len() - 1
    }

    /// Begins tagged field `tag` of the tags at `tags`. Tags come in ascending order; a schema has fewer than 128.
    pub fn begin_tag(&mut self, tags: usize, tag: u32) -> usize {
        self.buf[tags] += 1;
        debug_assert!(self.buf[tags] < 0x80);
        self.uvarint(tag);
        self.buf.push(0);
        self.buf.len() - 1
    }

    /// Ends the tagged field that [`Encoder::begin_tag`] began at `at`, by writing its size in front of it.
    pub fn end_tag(&mut self, at: usize) {
        debug_assert!(self.splices.last().is_none_or(|splice| splice.at <= at), "no schema has records in a tag");
        let mut size = self.buf.len() - at - 1;
        if size < 0x80 {
            self.buf[at] = size as u8;
            return;
        }
        let mut prefix = [0u8; 10];
        let mut len = 0;
        while size >= 0x80 {
            prefix[len] = size as u8 | 0x80;
            size >>= 7;
            len += 1;
        }
        prefix[len] = size as u8;
        self.buf.splice(at..=at, prefix[..=len].iter().copied());
    }
}
