//! Requests as bytes, put together by hand so that they can be wrong in any way.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use wire::codec::{Decoder, Encoder, Message, Request};
use wire::header::RequestHeader;

/// Longer than any answer takes, also of a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const PRODUCE: i16 = 0;
pub(crate) const FETCH: i16 = 1;
pub(crate) const LIST_OFFSETS: i16 = 2;
pub(crate) const METADATA: i16 = 3;
pub(crate) const API_VERSIONS: i16 = 18;
pub(crate) const CREATE_TOPICS: i16 = 19;
pub(crate) const DELETE_TOPICS: i16 = 20;

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The body behind the correlation id.
    Answer(Vec<u8>),
    Closed,
    /// Neither an answer nor an end: the client would wait for ever.
    Silence,
}

impl Outcome {
    pub(crate) fn answer(self, what: &str) -> Vec<u8> {
        match self {
            Outcome::Answer(body) => body,
            other => panic!("{what}: {other:?} instead of an answer"),
        }
    }
}

pub(crate) struct Connection {
    stream: TcpStream,
}

impl Connection {
    pub(crate) fn try_open(address: SocketAddr) -> Option<Connection> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Connection { stream })
    }

    /// Sends bytes as they are; false when the other side has closed.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub(crate) fn finish_sending(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads one frame; for answers whose header is not flexible.
    pub(crate) fn receive(&mut self) -> Outcome {
        let mut size = [0; 4];
        match self.read(&mut size) {
            Ok(()) => {}
            Err(outcome) => return outcome,
        }
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        match self.read(&mut frame) {
            Ok(()) => Outcome::Answer(frame.split_off(4)),
            Err(outcome) => outcome,
        }
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), Outcome> {
        self.stream.read_exact(into).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Outcome::Silence,
            _ => Outcome::Closed,
        })
    }

    /// One request and what comes back. `body` follows a header of version 1.
    pub(crate) fn call(&mut self, key: i16, version: i16, body: &Bytes) -> Outcome {
        if !self.send(&request(key, version, 7, &body.0)) {
            return Outcome::Closed;
        }
        self.receive()
    }

    /// ApiVersions gets its answer.
    pub(crate) fn is_served(&mut self) -> bool {
        matches!(self.call(API_VERSIONS, 0, &Bytes::new()), Outcome::Answer(body) if body[..2] == [0, 0])
    }
}

/// One request and the body of its answer.
pub(crate) fn ask<'a, R: Request<'a>>(connection: &mut Connection, request: &R, version: i16) -> Vec<u8> {
    assert!(connection.send(&frame(request, version)));
    let body = connection.receive().answer(R::KEY.name());
    body[usize::from(R::KEY.response_header_version(version) > 0)..].to_vec()
}

pub(crate) fn decode<'a, T: Message<'a>>(body: &'a [u8], version: i16) -> T {
    T::decode(&mut Decoder::new(body), version).expect("an answer that can be read")
}

/// A whole frame with a header of version 1 and client id `raw`.
pub(crate) fn request(key: i16, version: i16, correlation: i32, body: &[u8]) -> Vec<u8> {
    let header = Bytes::new().i16(key).i16(version).i32(correlation).string("raw");
    let mut frame = ((header.0.len() + body.len()) as u32).to_be_bytes().to_vec();
    frame.extend(header.0);
    frame.extend(body);
    frame
}

/// Bytes in the order in which they are said.
#[derive(Clone, Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn new() -> Bytes {
        Bytes::default()
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Bytes {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn i8(self, value: i8) -> Bytes {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i16(self, value: i16) -> Bytes {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i32(self, value: i32) -> Bytes {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i64(self, value: i64) -> Bytes {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn string(self, text: &str) -> Bytes {
        self.i16(text.len() as i16).raw(text.as_bytes())
    }

    /// An unsigned varint.
    pub(crate) fn unsigned(mut self, mut value: u32) -> Bytes {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    /// A zigzag varint, as records have them.
    pub(crate) fn varint(mut self, value: i64) -> Bytes {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
        self
    }
}

/// Reads numbers out of an answer.
pub(crate) struct Answer<'a>(pub(crate) &'a [u8]);

impl Answer<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_at_checked(N).expect("the answer is long enough");
        self.0 = rest;
        head.try_into().expect("as many bytes as asked for")
    }

    pub(crate) fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }

    pub(crate) fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    pub(crate) fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take())
    }

    pub(crate) fn string(&mut self) -> Option<String> {
        let length = usize::try_from(self.i16()).ok()?;
        let (text, rest) = self.0.split_at_checked(length).expect("the answer is long enough");
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

/// A whole request.
pub(crate) fn frame<'a, R: Request<'a>>(request: &R, version: i16) -> Vec<u8> {
    let mut e = Encoder::new();
    e.begin_frame();
    let header = RequestHeader {
        api_key: R::KEY as i16,
        api_version: version,
        correlation_id: 1,
        client_id: Some("tests".into()),
    };
    header.encode(&mut e, R::KEY.request_header_version(version));
    request.encode(&mut e, version);
    e.end_frame();
    e.buf
}
