//! Cuts what a socket delivers into frames: an int32 size, then that many bytes. Pure; allocates only for frames that
//! arrive in pieces.

use shards::Chunk;

/// A frame larger than this is received straight into a buffer of its own.
const SMALL_FRAME_BYTES: usize = 8 * 1024;

/// Bytes set aside at first for a large frame, and the most that one step adds. A peer that announces 100 MiB and sends
/// nothing costs one step.
const STEP_FIRST_BYTES: usize = 128 * 1024;
const STEP_MOST_BYTES: usize = 16 * 1024 * 1024;

/// Room behind a large frame for those that follow it: what a client has in flight is received, written and answered
/// together.
const AHEAD_BYTES: usize = 256 * 1024;

const SIZE_BYTES: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    Negative(i32),
    TooLarge { size: i32, max: usize },
}

/// What the connection has to do next.
#[derive(Debug)]
pub(crate) enum Cut {
    /// One whole frame, without its size.
    Frame(Chunk),
    /// Receive straight into `buf` until it holds at least `upto` bytes, then give the chunk to [`Framer::feed`].
    Receive { buf: Vec<u8>, upto: usize },
    /// All input is used up.
    Hungry,
}

enum State {
    /// The start of a frame that came in pieces, size included; empty between frames.
    Gathering(Vec<u8>),
    /// The body of a large frame of `size` bytes is on its way in its own buffer.
    Receiving { size: usize },
}

pub(crate) struct Framer {
    size_max: usize,
    state: State,
    input: Option<Chunk>,
}

impl Framer {
    /// `size_max`: `socket.request.max.bytes`.
    pub(crate) fn new(size_max: usize) -> Self {
        Self { size_max, state: State::Gathering(Vec::new()), input: None }
    }

    /// Takes what the socket delivered. The input before it must have been used up ([`Cut::Hungry`] or [`Cut::Receive`]).
    pub(crate) fn feed(&mut self, chunk: Chunk) {
        debug_assert!(self.input.is_none());
        self.input = Some(chunk);
    }

    pub(crate) fn has_input(&self) -> bool {
        self.input.is_some()
    }

    /// Gives back the input that was not cut yet.
    pub(crate) fn take_input(&mut self) -> Option<Chunk> {
        self.input.take()
    }

    pub(crate) fn next(&mut self) -> Result<Cut, FrameError> {
        let Some(input) = self.input.take() else { return Ok(Cut::Hungry) };
        match &mut self.state {
            State::Receiving { size } => {
                let size = *size;
                Ok(self.received(input, size))
            }
            State::Gathering(start) if start.is_empty() => self.cut(input),
            State::Gathering(_) => self.gather(input),
        }
    }

    /// The usual case: a frame starts where the input starts.
    fn cut(&mut self, input: Chunk) -> Result<Cut, FrameError> {
        let Some(size) = self.size_at_start(&input)? else {
            self.state = State::Gathering(input.to_vec());
            return Ok(Cut::Hungry);
        };
        let whole = SIZE_BYTES + size;
        if input.len() >= whole {
            let frame = input.slice(SIZE_BYTES..whole);
            self.keep_rest(&input, whole);
            return Ok(Cut::Frame(frame));
        }
        if size > SMALL_FRAME_BYTES {
            return Ok(self.receive_large(&input[SIZE_BYTES..], size));
        }
        let mut start = Vec::with_capacity(whole);
        start.extend_from_slice(&input);
        self.state = State::Gathering(start);
        Ok(Cut::Hungry)
    }

    /// Completes a small frame of which the start came before.
    fn gather(&mut self, input: Chunk) -> Result<Cut, FrameError> {
        let State::Gathering(start) = &mut self.state else { unreachable!("gather is called while gathering") };
        let mut used = 0;
        if start.len() < SIZE_BYTES {
            used = (SIZE_BYTES - start.len()).min(input.len());
            start.extend_from_slice(&input[..used]);
            if start.len() < SIZE_BYTES {
                return Ok(Cut::Hungry);
            }
        }
        let mut start = std::mem::take(start);
        let size = checked_size(&start, self.size_max)?;
        let missing = SIZE_BYTES + size - start.len();
        if input.len() - used >= missing {
            start.extend_from_slice(&input[used..used + missing]);
            let frame = Chunk::from(start).slice(SIZE_BYTES..SIZE_BYTES + size);
            self.keep_rest(&input, used + missing);
            return Ok(Cut::Frame(frame));
        }
        start.extend_from_slice(&input[used..]);
        if size > SMALL_FRAME_BYTES {
            return Ok(self.receive_large(&start[SIZE_BYTES..], size));
        }
        self.state = State::Gathering(start);
        Ok(Cut::Hungry)
    }

    fn receive_large(&mut self, start: &[u8], size: usize) -> Cut {
        let upto = size.min(STEP_FIRST_BYTES.max(start.len() * 2));
        let mut buf = Vec::with_capacity(if upto == size { size + AHEAD_BYTES } else { upto });
        buf.extend_from_slice(start);
        self.state = State::Receiving { size };
        Cut::Receive { buf, upto }
    }

    /// A step of a large frame is complete; another follows, or the frame is whole.
    fn received(&mut self, chunk: Chunk, size: usize) -> Cut {
        if chunk.len() >= size {
            self.state = State::Gathering(Vec::new());
            self.keep_rest(&chunk, size);
            return Cut::Frame(chunk.slice(0..size));
        }
        let mut buf = chunk.into_vec();
        let upto = size.min(buf.len() + buf.len().min(STEP_MOST_BYTES));
        buf.reserve_exact(upto - buf.len());
        Cut::Receive { buf, upto }
    }

    fn size_at_start(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        if bytes.len() < SIZE_BYTES { Ok(None) } else { checked_size(bytes, self.size_max).map(Some) }
    }

    fn keep_rest(&mut self, input: &Chunk, used: usize) {
        if used < input.len() {
            self.input = Some(input.slice(used..input.len()));
        }
    }
}

fn checked_size(bytes: &[u8], max: usize) -> Result<usize, FrameError> {
    let size = i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let Ok(wanted) = usize::try_from(size) else { return Err(FrameError::Negative(size)) };
    if wanted > max { Err(FrameError::TooLarge { size, max }) } else { Ok(wanted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(bodies: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for body in bodies {
            bytes.extend_from_slice(&(body.len() as i32).to_be_bytes());
            bytes.extend_from_slice(body);
        }
        bytes
    }

    /// Delivers `bytes` in pieces of `piece` bytes, as a socket would, and collects the frames. A large frame comes with
    /// `ahead` bytes of what follows it.
    fn cut_all(bytes: &[u8], piece: usize, ahead: usize) -> Vec<Vec<u8>> {
        let mut framer = Framer::new(1 << 20);
        let mut frames = Vec::new();
        let mut at = 0;
        let mut direct: Option<(Vec<u8>, usize)> = None;
        while at < bytes.len() {
            let n = piece.min(bytes.len() - at);
            if let Some((mut buf, upto)) = direct.take() {
                let ahead = ahead.min(buf.capacity() - upto);
                let n = (upto + ahead - buf.len()).min(bytes.len() - at);
                buf.extend_from_slice(&bytes[at..at + n]);
                at += n;
                assert!(buf.len() >= upto);
                framer.feed(Chunk::from(buf));
            } else {
                framer.feed(Chunk::from(bytes[at..at + n].to_vec()));
                at += n;
            }
            loop {
                match framer.next().unwrap() {
                    Cut::Frame(frame) => frames.push(frame.to_vec()),
                    Cut::Receive { buf, upto } => {
                        direct = Some((buf, upto));
                        break;
                    }
                    Cut::Hungry => break,
                }
            }
        }
        assert!(matches!(&framer.state, State::Gathering(start) if start.is_empty()) && !framer.has_input());
        frames
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_arrive() {
        let large: Vec<u8> = (0..700_000u32).map(|i| i as u8).collect();
        let bodies: [&[u8]; 9] =
            [b"a", b"", &[7; 1000], &large, &[9; 9000], b"between", &[3; 40_000], &large[..100_000], b"end"];
        let bytes = framed(&bodies);
        for piece in [1, 2, 3, 5, 1000, 4096, 16384, bytes.len()] {
            for ahead in [0, 1, 3, 4, 50, 11_000, 60_000, AHEAD_BYTES] {
                let frames = cut_all(&bytes, piece, ahead);
                assert_eq!(frames, bodies, "pieces of {piece}, {ahead} bytes ahead");
            }
        }
    }

    #[test]
    fn sizes_out_of_bounds_are_refused() {
        for (size, error) in [
            (-1, FrameError::Negative(-1)),
            (i32::MIN, FrameError::Negative(i32::MIN)),
            (1001, FrameError::TooLarge { size: 1001, max: 1000 }),
            (i32::MAX, FrameError::TooLarge { size: i32::MAX, max: 1000 }),
        ] {
            let mut framer = Framer::new(1000);
            framer.feed(Chunk::from(size.to_be_bytes().to_vec()));
            assert_eq!(framer.next().unwrap_err(), error);
        }
    }

    #[test]
    fn an_announced_frame_costs_only_its_first_step() {
        let mut framer = Framer::new(100 << 20);
        let mut bytes = (100i32 << 20).to_be_bytes().to_vec();
        bytes.push(1);
        framer.feed(Chunk::from(bytes));
        let Cut::Receive { buf, upto } = framer.next().unwrap() else { panic!("a large frame is received directly") };
        assert!(buf.capacity() <= STEP_FIRST_BYTES && upto <= STEP_FIRST_BYTES);
    }
}
