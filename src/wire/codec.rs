//! Bytes to values and back: the primitive types of the Kafka protocol, arrays, tagged fields (KIP-482) and spliced records.
//!
//! A [`Decoder`] borrows from one frame and never trusts a number in it: every length is compared with the bytes that
//! remain before anything is read, and every allocation is charged to a budget before it is made. An [`Encoder`] appends to
//! one buffer; record data that lives elsewhere (in a log segment) is named by a [`Splice`] and never copied.

use std::borrow::Cow;
use std::fmt;

mod decoder;
mod encoder;

pub use decoder::{Decoder, Tags};
pub use encoder::Encoder;

use crate::generated::api::ApiKey;
use crate::uuid::Uuid;

/// A string of the protocol: borrowed from the frame when decoded, borrowed or owned when built.
pub type Str<'a> = Cow<'a, str>;
/// Bytes of the protocol: borrowed from the frame when decoded, borrowed or owned when built.
pub type Bytes<'a> = Cow<'a, [u8]>;

/// Kafka writes string lengths as int16, and refuses longer ones in the compact form too.
pub(crate) const STRING_BYTES_MAX: usize = i16::MAX as usize;
/// Why bytes are not a message. After any of these the position of the decoder means nothing: drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// A value reaches past the end of the frame.
    Truncated,
    /// A length or count below -1, or -1 written as anything but null.
    NegativeLength,
    /// Null where the schema of this version has no null.
    NullNotAllowed,
    /// An array announces more elements than the remaining bytes could hold.
    CountTooLarge,
    /// The message would take more memory than the budget of its frame.
    OverBudget,
    /// A varint of more than 5 (32 bits) or 10 (64 bits) bytes, or with bits above its type.
    VarintTooLong,
    /// A string of more than 32,767 bytes.
    StringTooLong,
    /// A string that is not UTF-8.
    InvalidUtf8,
    /// A tagged field took more or fewer bytes than it announced.
    TagSizeMismatch,
    /// Bytes follow the end of the message.
    TrailingBytes,
    /// There is no such version of this message.
    UnsupportedVersion,
    /// A record type that this release of Kafka does not have.
    UnknownRecordType,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecodeError::Truncated => "a value reaches past the end of the frame",
            DecodeError::NegativeLength => "a length is negative",
            DecodeError::NullNotAllowed => "null in a field that cannot be null",
            DecodeError::CountTooLarge => "an array announces more elements than the frame can hold",
            DecodeError::OverBudget => "the message takes more memory than its frame allows",
            DecodeError::VarintTooLong => "a variable-length integer is too long",
            DecodeError::StringTooLong => "a string is longer than 32767 bytes",
            DecodeError::InvalidUtf8 => "a string is not UTF-8",
            DecodeError::TagSizeMismatch => "a tagged field differs from its announced size",
            DecodeError::TrailingBytes => "bytes follow the end of the message",
            DecodeError::UnsupportedVersion => "the version of the message is not supported",
            DecodeError::UnknownRecordType => "the record type is not known",
        })
    }
}

impl std::error::Error for DecodeError {}

/// One message, or one struct nested in it, of a given version.
pub trait Message<'a>: Sized + Default {
    /// The fewest bytes an encoded value takes in any version; at least 1, so that it bounds a count.
    const MIN_SIZE: usize;
    fn decode(d: &mut Decoder<'a>, version: i16) -> Result<Self, DecodeError>;
    /// Fields that `version` lacks are dropped; null in a field that cannot be null there is written as empty.
    fn encode(&self, e: &mut Encoder, version: i16);
}

/// A request, with the type of its answer.
pub trait Request<'a>: Message<'a> {
    const KEY: ApiKey;
    type Response<'r>: Message<'r>;
}

/// The field type `records`: whole record batches, or a reference to bytes that the sender puts in later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Records<'a> {
    #[default]
    Null,
    Bytes(&'a [u8]),
    /// `len` bytes that are not in the buffer; `id` is the caller's name for them.
    Splice {
        len: usize,
        id: u32,
    },
}

impl<'a> Records<'a> {
    /// Size in bytes; null counts as empty.
    pub fn len(&self) -> usize {
        match self {
            Records::Null => 0,
            Records::Bytes(bytes) => bytes.len(),
            Records::Splice { len, .. } => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, unless they are null or live elsewhere.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Records::Bytes(bytes) => Some(bytes),
            Records::Null | Records::Splice { .. } => None,
        }
    }
}

/// `len` foreign bytes belong at position `at` of [`Encoder::buf`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Splice {
    pub at: usize,
    pub len: usize,
    pub id: u32,
}

/// The primitive types take part in arrays; they are the same in every version.
macro_rules! primitive {
    ($($type:ty, $name:ident, $size:expr;)*) => {$(
        impl<'a> Message<'a> for $type {
            const MIN_SIZE: usize = $size;

            fn decode(d: &mut Decoder<'a>, _version: i16) -> Result<Self, DecodeError> {
                d.$name()
            }

            fn encode(&self, e: &mut Encoder, _version: i16) {
                e.$name(*self);
            }
        }
    )*};
}

primitive! {
    bool, bool, 1;
    i8, i8, 1;
    i16, i16, 2;
    u16, u16, 2;
    i32, i32, 4;
    u32, u32, 4;
    i64, i64, 8;
    f64, f64, 8;
    Uuid, uuid, 16;
}
