//! What a shard serves: the events it delivers and what may be sent.

use std::io;
use std::net::SocketAddr;

use crate::chunk::Chunk;
use crate::file::File;
use crate::ids::{ShardId, SocketId};

/// Bytes for a socket, in the order they were queued.
#[derive(Debug)]
pub enum Out {
    Bytes(Vec<u8>),
    /// `len` bytes of `file` from `position`, sent without passing through this process. A file that turns out to be
    /// shorter closes the socket: the peer was promised `len` bytes.
    File {
        file: File,
        position: u64,
        len: u64,
    },
}

impl Out {
    pub fn len(&self) -> u64 {
        match self {
            Out::Bytes(bytes) => bytes.len() as u64,
            Out::File { len, .. } => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One piece of an append.
#[derive(Clone, Debug)]
pub enum Part {
    /// `len <= 64` bytes kept in place.
    Small {
        bytes: [u8; 64],
        len: u8,
    },
    Chunk(Chunk),
}

impl Part {
    /// Copies at most 64 bytes; panics on more.
    pub fn small(from: &[u8]) -> Part {
        let mut bytes = [0; 64];
        bytes[..from.len()].copy_from_slice(from);
        Part::Small { bytes, len: from.len() as u8 }
    }

    pub fn as_slice(&self) -> &[u8] {
        match self {
            Part::Small { bytes, len } => &bytes[..usize::from(*len)],
            Part::Chunk(chunk) => chunk,
        }
    }

    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Calls of one lane keep their order between two shards; lanes do not wait for each other, so a full request lane never
/// holds up replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Request,
    Reply,
}

/// Which shard serves the connections of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seating {
    /// The one with the fewest connections.
    Any,
    /// The one that accepts.
    Here,
}

/// What runs on a shard. All methods are called on the shard's own thread, one at a time, never from inside a method of
/// `Core`; none may block.
pub trait Service: 'static {
    /// What may cross cores.
    type Call: Send + 'static;

    /// A connection came in; `listener` is the number given to `Core::listen`.
    fn accepted(&self, socket: SocketId, listener: usize, peer: SocketAddr, local: SocketAddr);
    fn received(&self, socket: SocketId, chunk: Chunk);
    /// The connection is gone and its id dead; called once for every accepted socket however it ended, also after `close`.
    fn closed(&self, socket: SocketId);
    /// All that was queued for the socket has gone to the kernel.
    fn sent(&self, socket: SocketId);
    fn called(&self, from: ShardId, call: Self::Call);
    /// An append that `Files::append` did not finish on the spot.
    fn written(&self, token: u64, result: io::Result<()>);
    /// All events of one wake were delivered; also called for `Core::wake_at`. Time to flush staged work and send replies.
    fn settle(&self);
    /// A clean stop begins: no more connections will be accepted. Call `Core::stopped` when done; until every shard did,
    /// events go on.
    fn stopping(&self);
}
