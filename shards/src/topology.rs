//! Which cores this process may use: its affinity mask, narrowed by the quota of its control group.

use std::io;
use std::path::{Path, PathBuf};

/// A set of cores, by the kernel's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreSet(Vec<usize>);

impl CoreSet {
    pub(crate) fn one(core: usize) -> Self {
        Self(vec![core])
    }

    pub fn cores(&self) -> &[usize] {
        &self.0
    }
}

/// What this process has to run on.
#[derive(Clone, Debug, PartialEq)]
pub struct Available {
    /// The cores it may run on. The kernel keeps this inside the control group's cpuset.
    pub cores: CoreSet,
    /// The cpu time per second its control groups grant, in cores, when they limit it.
    pub quota: Option<f64>,
}

impl Available {
    /// How many shards make sense: one per core, but no more than the quota pays for (rounded up, at least one).
    pub fn shard_count(&self) -> usize {
        let cores = self.cores.0.len().max(1);
        self.quota.map_or(cores, |quota| cores.min(quota.ceil().max(1.0) as usize))
    }
}

/// Looks at the affinity mask of the calling thread and at the control groups of this process (version 1 and 2).
pub fn available() -> Available {
    let cores = affinity().unwrap_or_else(|_| {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        CoreSet((0..count).collect())
    });
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Available { cores, quota: quota(&groups, Path::new("/sys/fs/cgroup")) }
}

/// Picks the cores for `count` shards, one core each; by default as many as make sense. When more shards are asked for than
/// there are cores, cores are used more than once: good for tests, slow otherwise, so the caller should warn when
/// `choose(Some(n))` has repetitions.
pub fn choose(count: Option<usize>) -> Vec<usize> {
    choose_from(&available(), count)
}

fn choose_from(available: &Available, count: Option<usize>) -> Vec<usize> {
    let count = count.unwrap_or_else(|| available.shard_count()).max(1);
    available.cores.0.iter().copied().cycle().take(count).collect()
}

/// Cores a mask can name; the kernel's default bound is 8192, glibc's type holds 1024.
const MASK_WORDS: usize = 8192 / 64;

fn affinity() -> io::Result<CoreSet> {
    let mut mask = [0u64; MASK_WORDS];
    // SAFETY: the kernel writes at most the given number of bytes into the mask, which is that large.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&mask), mask.as_mut_ptr().cast()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let cores: Vec<usize> = (0..MASK_WORDS * 64).filter(|core| mask[core / 64] >> (core % 64) & 1 == 1).collect();
    if cores.is_empty() { Err(io::Error::other("the affinity mask is empty")) } else { Ok(CoreSet(cores)) }
}

/// Binds the calling thread to these cores.
pub(crate) fn bind(cores: &CoreSet) -> io::Result<()> {
    let mut mask = [0u64; MASK_WORDS];
    for &core in cores.0.iter().filter(|&&core| core < MASK_WORDS * 64) {
        mask[core / 64] |= 1 << (core % 64);
    }
    // SAFETY: the kernel reads the given number of bytes from the mask, which is that large.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&mask), mask.as_ptr().cast()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

type QuotaReader = fn(&Path) -> Option<f64>;

/// The smallest quota on the way from the process's group to the root. `groups` is `/proc/self/cgroup`.
fn quota(groups: &str, root: &Path) -> Option<f64> {
    let mut smallest: Option<f64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let (bases, read): (Vec<PathBuf>, QuotaReader) = if id == "0" && controllers.is_empty() {
            (vec![root.to_path_buf(), root.join("unified")], quota_v2)
        } else if controllers.split(',').any(|controller| controller == "cpu") {
            (vec![root.join(controllers), root.join("cpu")], quota_v1)
        } else {
            continue;
        };
        for base in bases {
            // Inside a container the group's path may not be visible; then the mount's root is the group.
            let group = base.join(path.trim_start_matches('/'));
            for directory in group.ancestors().take_while(|directory| directory.starts_with(&base)) {
                if let Some(found) = read(directory) {
                    smallest = Some(smallest.map_or(found, |smallest| smallest.min(found)));
                }
            }
        }
    }
    smallest
}

fn quota_v2(directory: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(directory.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    ratio(quota, period)
}

fn quota_v1(directory: &Path) -> Option<f64> {
    let quota = std::fs::read_to_string(directory.join("cpu.cfs_quota_us")).ok()?;
    let period = std::fs::read_to_string(directory.join("cpu.cfs_period_us")).ok()?;
    ratio(quota.trim(), period.trim())
}

/// "max" and -1 mean no limit.
fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_core() {
        let available = available();
        assert!(!available.cores.cores().is_empty());
        assert!((1..=available.cores.cores().len()).contains(&available.shard_count()));
    }

    #[test]
    fn shards_take_cores_in_turn_and_the_quota_bounds_the_default() {
        let mut available = Available { cores: CoreSet(vec![2, 3, 6]), quota: None };
        assert_eq!(choose_from(&available, None), [2, 3, 6]);
        assert_eq!(choose_from(&available, Some(5)), [2, 3, 6, 2, 3]);
        available.quota = Some(1.5);
        assert_eq!(choose_from(&available, None), [2, 3]);
        available.quota = Some(0.25);
        assert_eq!(choose_from(&available, None), [2]);
    }

    #[test]
    fn the_smallest_quota_up_the_tree_counts() {
        let root = std::env::temp_dir().join(format!("shards-cgroup-{}", std::process::id()));
        let group = root.join("a/b");
        std::fs::create_dir_all(&group).unwrap();
        std::fs::write(group.join("cpu.max"), "max 100000\n").unwrap();
        std::fs::write(root.join("a/cpu.max"), "250000 100000\n").unwrap();
        assert_eq!(quota("0::/a/b\n", &root), Some(2.5));
        assert_eq!(quota("0::/elsewhere\n", &root), None);

        let old = root.join("cpu,cpuacct/box");
        std::fs::create_dir_all(&old).unwrap();
        std::fs::write(old.join("cpu.cfs_quota_us"), "50000\n").unwrap();
        std::fs::write(old.join("cpu.cfs_period_us"), "100000\n").unwrap();
        assert_eq!(quota("4:cpu,cpuacct:/box\n3:memory:/box\n", &root), Some(0.5));
        std::fs::write(old.join("cpu.cfs_quota_us"), "-1\n").unwrap();
        assert_eq!(quota("4:cpu,cpuacct:/box\n", &root), None);
        std::fs::remove_dir_all(root).unwrap();
    }
}
