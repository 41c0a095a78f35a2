//! The shard's file side: appends, reads and syncs that never stall the shard.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use io_uring::{opcode, types};

use crate::file::File;
use crate::ids::SocketId;
use crate::memory::Mapping;
use crate::ring::{Kind, OpName, Ring};
use crate::service::Part;
use crate::sys;
use crate::workers::Workers;

/// How appends reach a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// `pwritev` on the spot: the file system refuses non-blocking buffered writes (ext4), so the ring would hand each one
    /// to a worker thread, which costs ten times the write.
    Inline,
    /// Through the ring: the file system takes non-blocking buffered writes (XFS, btrfs).
    Ring,
}

/// Bytes read at once to warm the page cache.
pub(crate) const WARM_BYTES: usize = 256 << 10;

/// Handle of a shard's file side; clones are cheap and stay on the shard.
#[derive(Clone)]
pub struct Files {
    side: Option<Rc<RingSide>>,
}

/// The file operations in the shard's ring.
struct RingSide {
    ring: Rc<Ring>,
    /// Write mode by device; a device not listed is written inline.
    modes: Vec<(u64, WriteMode)>,
    ops: RefCell<Ops>,
    workers: Arc<Workers>,
    /// Where warming reads put their bytes, which nobody looks at; so one place serves all of them at once.
    scratch: Mapping,
}

/// Operations by index; freed places are used again. A box keeps an operation's memory in place while the kernel works on it.
#[derive(Default)]
struct Ops {
    slots: Vec<Option<Box<Op>>>,
    free: Vec<u32>,
}

enum Op {
    Append {
        token: u64,
        file: File,
        position: u64,
        parts: Vec<Part>,
        first: usize,
        done: usize,
        pieces: Vec<libc::iovec>,
    },
    Read {
        file: File,
        position: u64,
        buf: Vec<u8>,
        len: usize,
        answer: Rc<Answer<Vec<u8>>>,
    },
    Sync {
        _file: File,
        answer: Rc<Answer<()>>,
    },
    Warm {
        _file: File,
        socket: SocketId,
    },
    WriteBack {
        _file: File,
    },
}

/// What the completion of a file operation means to the driver.
pub(crate) enum FileEvent {
    Nothing,
    Written { token: u64, result: io::Result<()> },
    Warmed { socket: SocketId },
}

impl Files {
    /// Everything on the spot, without a ring: for tests.
    pub fn inline() -> Files {
        Files { side: None }
    }

    pub(crate) fn new(ring: Rc<Ring>, modes: Vec<(u64, WriteMode)>, workers: Arc<Workers>) -> io::Result<Files> {
        let scratch = Mapping::new(WARM_BYTES)?;
        Ok(Files { side: Some(Rc::new(RingSide { ring, modes, ops: RefCell::default(), workers, scratch })) })
    }

    /// How appends to files in `dir` are written; probed at start for the file systems of the plan's directories, for any
    /// other `Inline`.
    pub fn mode(&self, dir: &Path) -> WriteMode {
        std::fs::metadata(dir).map_or(WriteMode::Inline, |metadata| self.device_mode(metadata.dev()))
    }

    fn device_mode(&self, device: u64) -> WriteMode {
        let modes = self.side.as_ref().map_or(&[][..], |side| &side.modes);
        modes.iter().find(|(known, _)| *known == device).map_or(WriteMode::Inline, |(_, mode)| *mode)
    }

    /// Writes all parts at `position`, one behind the other. `Some`: done on the spot, with this result. `None`:
    /// `Service::written(token, result)` follows. Short writes are completed inside; after an error an unknown part of the
    /// bytes may have been written.
    pub fn append(&self, file: &File, position: u64, parts: Vec<Part>, token: u64) -> Option<io::Result<()>> {
        match &self.side {
            Some(side) if self.device_mode(file.device()) == WriteMode::Ring && !side.ring.is_closed() => {
                let parts: Vec<Part> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                if parts.is_empty() {
                    return Some(Ok(()));
                }
                let pieces = Vec::with_capacity(parts.len().min(sys::PIECES_PER_WRITE));
                let file = file.clone();
                side.start(Box::new(Op::Append { token, file, position, parts, first: 0, done: 0, pieces }));
                None
            }
            _ => Some(sys::write_parts(file, position, &parts)),
        }
    }

    /// Up to `len` bytes from `position`; fewer only at the end of the file.
    pub fn read(&self, file: &File, position: u64, len: usize) -> impl Future<Output = io::Result<Vec<u8>>> + 'static {
        match &self.side {
            Some(_) if len == 0 => Pending::Ready(Some(Ok(Vec::new()))),
            Some(side) => {
                side.ask(|answer| Op::Read { file: file.clone(), position, buf: Vec::with_capacity(len), len, answer })
            }
            None => Pending::Ready(Some(sys::read_up_to(file, position, len))),
        }
    }

    /// `fdatasync`: what was written before the call is on the device when this is `Ok`.
    pub fn sync_data(&self, file: &File) -> impl Future<Output = io::Result<()>> + 'static {
        match &self.side {
            Some(side) => side.ask(|answer| Op::Sync { _file: file.clone(), answer }),
            None => Pending::Ready(Some(file.sync_data())),
        }
    }

    /// Has the kernel begin to write a range to the device (`sync_file_range`), so that dirty pages do not pile up until the
    /// kernel makes writers wait. Promises nothing about durability; errors come with the next sync.
    pub fn write_back(&self, file: &File, position: u64, len: u64) {
        let Some(side) = &self.side else { return };
        if let Ok(len) = u32::try_from(len)
            && !side.ring.is_closed()
        {
            let entry = opcode::SyncFileRange::new(types::Fd(file.as_raw_fd()), len)
                .offset(position)
                .flags(libc::SYNC_FILE_RANGE_WRITE)
                .build();
            let name = side.name(side.insert(Box::new(Op::WriteBack { _file: file.clone() })));
            // SAFETY: the operation names no memory; the file it names is kept open by its entry in the table.
            unsafe { side.ring.push(name, entry) };
        }
    }

    /// Runs `work` on a worker thread, of which there are few: for what no ring operation does.
    pub fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + 'static {
        let started = match &self.side {
            Some(side) => Ok(side.workers.run(work)),
            None => Err(work()),
        };
        async move {
            match started {
                Ok(answer) => answer.await,
                Err(done) => done,
            }
        }
    }

    /// Reads a range into the page cache, at most `WARM_BYTES` of it; `FileEvent::Warmed` follows.
    pub(crate) fn warm(&self, file: &File, position: u64, len: u64, socket: SocketId) {
        let Some(side) = &self.side else { return };
        let len = len.min(WARM_BYTES as u64) as u32;
        let entry = opcode::Read::new(types::Fd(file.as_raw_fd()), side.scratch.as_ptr(), len).offset(position).build();
        let name = side.name(side.insert(Box::new(Op::Warm { _file: file.clone(), socket })));
        // SAFETY: the scratch memory belongs to self, which the driver keeps until nothing is in flight (or leaks); it is
        // WARM_BYTES long, and nobody ever reads or refers to its contents, so several operations may write it at once.
        unsafe { side.ring.push(name, entry) };
    }

    /// Takes the completion of a file operation.
    pub(crate) fn completed(&self, name: OpName, result: i32) -> FileEvent {
        match &self.side {
            Some(side) => side.completed(name, result),
            None => FileEvent::Nothing,
        }
    }
}

impl RingSide {
    fn name(&self, index: u32) -> OpName {
        OpName::new(Kind::File, 0, index)
    }

    fn insert(&self, op: Box<Op>) -> u32 {
        let mut ops = self.ops.borrow_mut();
        match ops.free.pop() {
            Some(index) => {
                ops.slots[index as usize] = Some(op);
                index
            }
            None => {
                ops.slots.push(Some(op));
                (ops.slots.len() - 1) as u32
            }
        }
    }

    fn start(&self, op: Box<Op>) {
        let index = self.insert(op);
        self.submit(index);
    }

    fn ask<T>(&self, op: impl FnOnce(Rc<Answer<T>>) -> Op) -> Pending<T> {
        if self.ring.is_closed() {
            return Pending::Ready(Some(Err(io::Error::other("the shard has stopped"))));
        }
        let answer = Rc::new(Answer { result: RefCell::new(None), waker: RefCell::new(None) });
        self.start(Box::new(op(Rc::clone(&answer))));
        Pending::Waiting(answer)
    }

    /// Hands what is left of an operation to the ring.
    fn submit(&self, index: u32) {
        let mut ops = self.ops.borrow_mut();
        let op = ops.slots[index as usize].as_mut().expect("an operation is submitted while it exists");
        let entry = match &mut **op {
            Op::Append { file, position, parts, first, done, pieces, .. } => {
                sys::gather(&parts[*first..], *done, pieces);
                let count = pieces.len() as u32;
                opcode::Writev::new(types::Fd(file.as_raw_fd()), pieces.as_ptr(), count).offset(*position).build()
            }
            Op::Read { file, position, buf, len, .. } => {
                let room = (*len - buf.len()).min(1 << 30) as u32;
                let spare = buf.spare_capacity_mut();
                opcode::Read::new(types::Fd(file.as_raw_fd()), spare.as_mut_ptr().cast(), room)
                    .offset(*position)
                    .build()
            }
            Op::Sync { _file: file, .. } => {
                opcode::Fsync::new(types::Fd(file.as_raw_fd())).flags(types::FsyncFlags::DATASYNC).build()
            }
            Op::Warm { .. } | Op::WriteBack { .. } => unreachable!("submitted where it is made"),
        };
        // SAFETY: all memory the entry names (pieces, the parts they point into, the buffer's spare capacity) is owned by
        // the boxed operation, which stays in the table untouched until its completion comes to completed(). Parts are
        // immutable, shared chunks included. The file inside it keeps the descriptor open. The driver keeps the table until
        // nothing is in flight, or leaks it.
        unsafe { self.ring.push(self.name(index), entry) };
    }

    fn completed(&self, name: OpName, result: i32) -> FileEvent {
        let index = name.index;
        let mut op = self.ops.borrow_mut().slots[index as usize].take().expect("a completion has its operation");
        let outcome = if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result as usize) };
        let interrupted = outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted);
        // A warming read is not worth another try: sending then simply waits for the disk.
        let again = (interrupted && !matches!(*op, Op::Warm { .. } | Op::WriteBack { .. }))
            || outcome.as_ref().is_ok_and(|&count| op.advance(count));
        if again && !self.ring.is_closed() {
            self.ops.borrow_mut().slots[index as usize] = Some(op);
            self.submit(index);
            return FileEvent::Nothing;
        }
        self.ops.borrow_mut().free.push(index);
        op.end(outcome)
    }
}

impl Op {
    fn end(self, outcome: io::Result<usize>) -> FileEvent {
        match self {
            Op::Append { token, parts, first, .. } => {
                let result = match outcome {
                    Ok(_) if first < parts.len() => Err(io::ErrorKind::WriteZero.into()),
                    other => other.map(drop),
                };
                FileEvent::Written { token, result }
            }
            Op::Read { buf, answer, .. } => {
                answer.give(outcome.map(|_| buf));
                FileEvent::Nothing
            }
            Op::Sync { answer, .. } => {
                answer.give(outcome.map(drop));
                FileEvent::Nothing
            }
            Op::Warm { socket, .. } => FileEvent::Warmed { socket },
            Op::WriteBack { .. } => FileEvent::Nothing,
        }
    }

    /// Books `count` bytes; true when there is more to do.
    fn advance(&mut self, count: usize) -> bool {
        match self {
            Op::Append { position, parts, first, done, .. } => {
                *position += count as u64;
                sys::advance(parts, first, done, count);
                count > 0 && *first < parts.len()
            }
            Op::Read { position, buf, len, .. } => {
                *position += count as u64;
                // SAFETY: the kernel has filled `count` bytes of the spare capacity it was given.
                unsafe { buf.set_len(buf.len() + count) };
                count > 0 && buf.len() < *len
            }
            Op::Sync { .. } | Op::Warm { .. } | Op::WriteBack { .. } => false,
        }
    }
}

/// Where a waiting future finds its result.
struct Answer<T> {
    result: RefCell<Option<io::Result<T>>>,
    waker: RefCell<Option<Waker>>,
}

impl<T> Answer<T> {
    fn give(&self, result: io::Result<T>) {
        *self.result.borrow_mut() = Some(result);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A result that comes now or with a completion. Dropping it does not stop the operation, only loses its result.
enum Pending<T> {
    Ready(Option<io::Result<T>>),
    Waiting(Rc<Answer<T>>),
}

impl<T: Unpin> Future for Pending<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        match &mut *self {
            Pending::Ready(result) => Poll::Ready(result.take().expect("polled after it was ready")),
            Pending::Waiting(answer) => match answer.result.borrow_mut().take() {
                Some(result) => Poll::Ready(result),
                None => {
                    *answer.waker.borrow_mut() = Some(context.waker().clone());
                    Poll::Pending
                }
            },
        }
    }
}
