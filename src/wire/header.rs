//! What stands before the body of every request and response.

use crate::codec::{DecodeError, Decoder, Encoder, Str};

/// Key, version and correlation id: what every request begins with, of whatever version.
const HEADER_BYTES_MIN: usize = 8;

/// The header of a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestHeader<'a> {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<Str<'a>>,
}

impl<'a> RequestHeader<'a> {
    /// Key and version of a request of which at least the first four bytes are there: enough to choose the version of the
    /// header, and to refuse a request before its body is received.
    pub fn peek(frame: &[u8]) -> Option<(i16, i16)> {
        let [k0, k1, v0, v1, ..] = *frame else {
            return None;
        };
        Some((i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1])))
    }

    /// Reads a header of `header_version` 1 or 2 ([`crate::api::ApiKey::request_header_version`]) and leaves `d` at the
    /// body. The client id is never compact: a broker must be able to read it in a version it does not know (KIP-511).
    pub fn decode(d: &mut Decoder<'a>, header_version: i16) -> Result<Self, DecodeError> {
        if d.remaining() < HEADER_BYTES_MIN {
            return Err(DecodeError::Truncated);
        }
        let header = RequestHeader {
            api_key: d.i16()?,
            api_version: d.i16()?,
            correlation_id: d.i32()?,
            client_id: d.opt_string(false, true)?,
        };
        if header_version >= 2 {
            d.skip_tags()?;
        }
        Ok(header)
    }

    pub fn encode(&self, e: &mut Encoder, header_version: i16) {
        e.i16(self.api_key);
        e.i16(self.api_version);
        e.i32(self.correlation_id);
        e.opt_string(false, true, self.client_id.as_deref());
        if header_version >= 2 {
            e.uvarint(0);
        }
    }
}

/// Writes the header of a response of `header_version` 0 or 1 ([`crate::api::ApiKey::response_header_version`]).
pub fn encode_response_header(e: &mut Encoder, correlation_id: i32, header_version: i16) {
    e.i32(correlation_id);
    if header_version >= 1 {
        e.uvarint(0);
    }
}

/// Reads the header of a response: its correlation id.
pub fn decode_response_header(d: &mut Decoder<'_>, header_version: i16) -> Result<i32, DecodeError> {
    let correlation_id = d.i32()?;
    if header_version >= 1 {
        d.skip_tags()?;
    }
    Ok(correlation_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_wire() {
        for header_version in [1, 2] {
            for client_id in [None, Some("".into()), Some("kcat".into())] {
                let header = RequestHeader { api_key: 18, api_version: 4, correlation_id: -7, client_id };
                let mut e = Encoder::new();
                header.encode(&mut e, header_version);
                assert_eq!(RequestHeader::peek(&e.buf), Some((18, 4)));
                let mut d = Decoder::new(&e.buf);
                assert_eq!(RequestHeader::decode(&mut d, header_version), Ok(header));
                assert_eq!(d.finish(), Ok(()));
                for cut in 0..e.buf.len() {
                    assert!(RequestHeader::decode(&mut Decoder::new(&e.buf[..cut]), header_version).is_err());
                }
            }
        }
        assert_eq!(RequestHeader::peek(&[0, 1, 2]), None);
    }

    #[test]
    fn response_headers_survive_the_wire() {
        for header_version in [0, 1] {
            let mut e = Encoder::new();
            encode_response_header(&mut e, 77, header_version);
            let mut d = Decoder::new(&e.buf);
            assert_eq!(decode_response_header(&mut d, header_version), Ok(77));
            assert_eq!(d.finish(), Ok(()));
        }
    }
}
