use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::service::{Client, Server, Setup};

/// A directory of its own, removed at the end.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("shards-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 131 + at / 4096) as u8).collect()
}

fn ask_file(client: &mut Client, position: u64, len: u64) {
    client.send(b'f', &[position.to_be_bytes(), len.to_be_bytes()].concat());
}

/// Writes the file out and drops it from the page cache.
fn make_cold(path: &Path) {
    let file = fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: takes no pointers.
    let result = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(result, 0);
}

#[test]
fn file_ranges_are_sent_hot_and_cold() {
    let dir = Dir::new("ranges");
    let path = dir.0.join("data");
    let bytes = pattern(5 << 20);
    fs::write(&path, &bytes).unwrap();
    let mut server = Server::start(Setup { file: Some(path.clone()), ..Setup::default() });
    let mut client = server.connect();
    for cold in [false, true] {
        if cold {
            make_cold(&path);
        }
        for (position, len) in
            [(0, 5 << 20), (1, 1), (4095, 2), (100, 16 << 10), (100, (16 << 10) + 1), (123_457, 1_000_001), (0, 0)]
        {
            if cold {
                make_cold(&path);
            }
            // Pipelined, so that files and bytes alternate in one queue.
            ask_file(&mut client, position, len);
            client.send(b'e', b"between");
            ask_file(&mut client, position, len);
            let expected = &bytes[position as usize..(position + len) as usize];
            assert!(client.receive() == expected, "{len} bytes at {position}, cold: {cold}");
            assert_eq!(client.receive(), b"between");
            assert!(client.receive() == expected);
        }
    }
    let counters = server.running.as_ref().unwrap().counters(shards::ShardId(0)).unwrap();
    assert!(counters.cold_reads > 0, "{counters:?}");
    server.stop();
}

#[test]
fn a_file_shorter_than_promised_closes_the_connection() {
    let dir = Dir::new("short");
    let path = dir.0.join("data");
    fs::write(&path, pattern(1000)).unwrap();
    let server = Server::start(Setup { file: Some(path), ..Setup::default() });
    for (position, len, there) in [(0, 1001u64, 1000), (500, 10_000, 500), (2000, 5, 0)] {
        let mut client = server.connect();
        ask_file(&mut client, position, len);
        let mut all = Vec::new();
        client.stream.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 4 + there);
    }
}

#[test]
fn tasks_read_sync_sleep_and_work_elsewhere() {
    let dir = Dir::new("tasks");
    let path = dir.0.join("data");
    let bytes = pattern(700_000);
    fs::write(&path, &bytes).unwrap();
    make_cold(&path);
    let server = Server::start(Setup { file: Some(path), shards: 2, ..Setup::default() });
    let mut clients: Vec<_> = (0..6).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(b't', b"");
        client.send(b'e', b"not held up");
    }
    for client in &mut clients {
        let (first, second) = (client.receive(), client.receive());
        assert_eq!(first, b"not held up");
        assert!(second == bytes[1..]);
    }
}

fn append_in(dir: &Path, expected: Option<&[u8]>) {
    let path = dir.join("log");
    let server =
        Server::start(Setup { file: Some(path.clone()), directories: vec![dir.to_path_buf()], ..Setup::default() });
    let mut client = server.connect();
    let mut all = Vec::new();
    for round in 0..40usize {
        let payloads = [pattern(round * 13), pattern(100_000 + round)];
        for payload in &payloads {
            client.send(b'a', payload);
            all.extend([b"<", &payload[..], b">"].concat());
        }
        for _ in &payloads {
            let how = client.receive();
            assert!(how == b"inline" || how == b"ring", "{how:?}");
            if let Some(expected) = expected {
                assert_eq!(how, expected);
            }
        }
        assert!(fs::read(&path).unwrap() == all, "round {round}");
    }
}

#[test]
fn appends_land_whole_and_in_place() {
    let dir = Dir::new("appends");
    append_in(&dir.0, None);
}

#[test]
fn appends_go_through_the_ring_where_the_file_system_does_not_wait() {
    // tmpfs and XFS take writes without waiting; a loop mount of XFS needs root and its tools.
    let Some(mount) = XfsMount::new() else {
        eprintln!("SKIPPED: no XFS loop mount can be made here (root, mkfs.xfs and a loop device are needed)");
        return;
    };
    append_in(&mount.dir.0.join("mnt"), Some(b"ring"));
}

struct XfsMount {
    dir: Dir,
}

impl XfsMount {
    fn new() -> Option<XfsMount> {
        let dir = Dir::new("xfs");
        let (image, mnt) = (dir.0.join("image"), dir.0.join("mnt"));
        fs::create_dir(&mnt).ok()?;
        fs::File::create(&image).ok()?.set_len(320 << 20).ok()?;
        let run = |program: &str, args: &[&std::ffi::OsStr]| {
            Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
        };
        let made = run("mkfs.xfs", &["-q".as_ref(), "-f".as_ref(), image.as_os_str()]);
        let mounted = made && run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_os_str(), mnt.as_os_str()]);
        mounted.then_some(XfsMount { dir })
    }
}

impl Drop for XfsMount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.0.join("mnt")).status();
    }
}
