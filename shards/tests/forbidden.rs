//! Starting where io_uring is forbidden: alone in its process, which is not good for anything else afterwards.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use shards::{Chunk, Core, Plan, Service, ShardId, SocketId, StartError};

struct Nothing;

impl Service for Nothing {
    type Call = ();

    fn accepted(&self, _: SocketId, _: usize, _: SocketAddr, _: SocketAddr) {}
    fn received(&self, _: SocketId, _: Chunk) {}
    fn closed(&self, _: SocketId) {}
    fn sent(&self, _: SocketId) {}
    fn called(&self, _: ShardId, (): ()) {}
    fn written(&self, _: u64, _: io::Result<()>) {}
    fn settle(&self) {}
    fn stopping(&self) {}
}

fn start() -> StartError {
    let result = shards::run(Plan::new(shards::topology::choose(Some(2))), |_: Core<()>| Ok(Rc::new(Nothing)));
    result.err().expect("it is forbidden")
}

#[test]
fn the_start_says_what_forbids_it() {
    limit_locked_memory(64 << 10);
    let error = start();
    assert!(matches!(&error, StartError::LockedMemory(facts) if facts.memlock_bytes == Some(64 << 10)), "{error}");
    assert!(error.to_string().contains("limit 64 KiB"), "{error}");

    filter_io_uring();
    let error = start();
    assert!(matches!(&error, StartError::RingForbidden(facts) if facts.filtered), "{error}");
    assert!(error.to_string().contains("Seccomp: 2"), "{error}");
}

fn limit_locked_memory(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: a valid limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) }, 0);
}

/// Has io_uring_setup fail with EPERM for this thread and those it starts, as container runtimes do.
fn filter_io_uring() {
    const LOAD_NUMBER: libc::sock_filter = op((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0, 0, 0);
    let skip_unless_setup =
        op((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 0, 1, libc::SYS_io_uring_setup as u32);
    let refuse = op((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
    let allow = op((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, libc::SECCOMP_RET_ALLOW);
    let mut program = [LOAD_NUMBER, skip_unless_setup, refuse, allow];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the calls read the program, which lives through them.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

const fn op(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}
