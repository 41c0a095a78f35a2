//! The work that brokers are compared by, and what is asked of ringmill there.

use crate::fetch::Receive;
use crate::member::GroupProtocol;

/// One row of the table in the README.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) work: Work,
    /// Path of the figure inside the result.
    pub(crate) figure: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) goal: Goal,
}

pub(crate) enum Work {
    Produce {
        connections: usize,
        in_flight: usize,
        record_size: usize,
        batch_size: usize,
        partitions: usize,
        seconds: f64,
        requests_max: u64,
    },
    Fetch {
        connections: usize,
        partitions: usize,
        max_bytes: i32,
        preload_bytes: u64,
        receive: Receive,
        seconds: f64,
    },
    EndToEnd {
        rate: f64,
        record_size: usize,
        seconds: f64,
    },
    /// Each connection for a group of its own.
    OffsetCommit {
        connections: usize,
        in_flight: usize,
        partitions: usize,
        seconds: f64,
    },
    GroupJoin {
        members: usize,
        partitions: usize,
        protocol: GroupProtocol,
    },
    Start,
    Restart,
    IdleMemory,
    IdleGroups {
        groups: usize,
        members: usize,
        connections: usize,
        seconds: f64,
    },
    /// Nothing of its own: another figure of the scenario with this name.
    SameAs(&'static str),
}

impl Work {
    /// What is measured is the broker's life, or its growth: each round has a new one.
    pub(crate) fn needs_fresh_broker(&self) -> bool {
        matches!(self, Work::Start | Work::Restart | Work::IdleMemory | Work::IdleGroups { .. })
    }
}

impl Scenario {
    /// The scenario whose results have the figure.
    pub(crate) fn measured_by(&self) -> &'static str {
        match self.work {
            Work::SameAs(name) => name,
            _ => self.name,
        }
    }
}

/// Against the second broker, absolute, or not asked for.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    TimesAtLeast(f64),
    TimesAtMost(f64),
    Below(f64),
    None,
}

impl Goal {
    pub(crate) fn is_met(self, ours: f64, theirs: Option<f64>) -> Option<bool> {
        match self {
            Goal::TimesAtLeast(ratio) => theirs.map(|t| ours / t >= ratio),
            Goal::TimesAtMost(ratio) => theirs.map(|t| ours / t <= ratio),
            Goal::Below(limit) => Some(ours < limit),
            Goal::None => None,
        }
    }

    pub(crate) fn words(self) -> String {
        match self {
            Goal::TimesAtLeast(ratio) => format!(">= {ratio}x"),
            Goal::TimesAtMost(ratio) => format!("<= {ratio:.2}x"),
            Goal::Below(limit) => format!("< {limit}"),
            Goal::None => "-".to_owned(),
        }
    }
}

const GIB: u64 = 1 << 30;

pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "64k-6x5",
        about: "64 KiB batches of 1 KiB records, 6 connections, 5 in flight",
        work: Work::Produce {
            connections: 6,
            in_flight: 5,
            record_size: 1024,
            batch_size: 65536,
            partitions: 6,
            seconds: 8.0,
            requests_max: 3 * GIB / 65536,
        },
        figure: "/gib_per_s",
        unit: "GiB/s",
        goal: Goal::TimesAtLeast(2.0),
    },
    Scenario {
        name: "1k-32x5",
        about: "1 KiB requests, 32 connections, 5 in flight",
        work: small(5),
        figure: "/requests_per_s",
        unit: "requests/s",
        goal: Goal::TimesAtLeast(6.0),
    },
    Scenario {
        name: "1k-32x1",
        about: "1 KiB requests, 32 connections, 1 in flight",
        work: small(1),
        figure: "/requests_per_s",
        unit: "requests/s",
        goal: Goal::TimesAtLeast(3.0),
    },
    Scenario {
        name: "hot-fetch",
        about: "fetch of up to 1 MiB from the page cache, 1 connection, records dropped by the load's kernel",
        work: hot(1, 1 << 20, Receive::Discard),
        figure: "/gib_per_s",
        unit: "GiB/s",
        goal: Goal::TimesAtLeast(1.7),
    },
    Scenario {
        name: "hot-fetch-256k",
        about: "fetch of up to 256 KiB from the page cache, 4 connections, records dropped by the load's kernel",
        work: hot(4, 256 << 10, Receive::Discard),
        figure: "/gib_per_s",
        unit: "GiB/s",
        goal: Goal::TimesAtLeast(1.7),
    },
    Scenario {
        name: "hot-fetch-4",
        about: "fetch of up to 1 MiB from the page cache, 4 connections, records dropped by the load's kernel",
        work: hot(4, 1 << 20, Receive::Discard),
        figure: "/gib_per_s",
        unit: "GiB/s",
        goal: Goal::None,
    },
    // Here the load copies what it receives, on a core that has more to do than the broker's: a ratio of what a consumer sees,
    // not of what the brokers could do.
    Scenario {
        name: "hot-fetch-read",
        about: "fetch of up to 1 MiB from the page cache, 1 connection, records read by the load",
        work: hot(1, 1 << 20, Receive::Read),
        figure: "/gib_per_s",
        unit: "GiB/s",
        goal: Goal::None,
    },
    Scenario {
        name: "e2e-1k",
        about: "end to end at 1,000 records/s of 1 KiB, p99 from the intended send time",
        work: Work::EndToEnd { rate: 1000.0, record_size: 1024, seconds: 20.0 },
        figure: "/response_us/p99",
        unit: "us",
        goal: Goal::TimesAtMost(1.0 / 3.0),
    },
    Scenario {
        name: "offset-commit",
        about: "one offset a request, 32 connections with a group each, 1 in flight",
        work: commits(1),
        figure: "/requests_per_s",
        unit: "commits/s",
        goal: Goal::TimesAtLeast(5.0),
    },
    Scenario {
        name: "offset-commit-5",
        about: "one offset a request, 32 connections with a group each, 5 in flight",
        work: commits(5),
        figure: "/requests_per_s",
        unit: "commits/s",
        goal: Goal::TimesAtLeast(5.0),
    },
    // Both brokers wait for members, and members wait for their next heartbeat: the ratio can be little below 1.
    Scenario {
        name: "group-join-100",
        about: "100 members of a classic group join at once, until it has settled",
        work: join(GroupProtocol::Classic),
        figure: "/settled_ms",
        unit: "ms",
        goal: Goal::TimesAtMost(1.0),
    },
    Scenario {
        name: "group-join-100-consumer",
        about: "100 members of a consumer group join at once, until it has settled",
        work: join(GroupProtocol::Consumer),
        figure: "/settled_ms",
        unit: "ms",
        goal: Goal::TimesAtMost(1.0),
    },
    Scenario {
        name: "start",
        about: "start on an empty directory to the first answered request",
        work: Work::Start,
        figure: "/first_answer_ms",
        unit: "ms",
        goal: Goal::Below(300.0),
    },
    Scenario {
        name: "restart",
        about: "restart after SIGKILL under load to the first acknowledged record",
        work: Work::Restart,
        figure: "/first_ack_ms",
        unit: "ms",
        goal: Goal::Below(1000.0),
    },
    Scenario {
        name: "idle-rss",
        about: "resident memory, idle, on two cores",
        work: Work::IdleMemory,
        figure: "/resident_mib",
        unit: "MiB",
        goal: Goal::Below(64.0),
    },
    Scenario {
        name: "idle-groups",
        about: "CPU time of 1,000 groups of 5 members that only send heartbeats, every 3 s over 20 connections",
        work: Work::IdleGroups { groups: 1000, members: 5, connections: 20, seconds: 20.0 },
        figure: "/cpu_percent",
        unit: "% of a core",
        goal: Goal::Below(2.0),
    },
    Scenario {
        name: "idle-groups-rss",
        about: "what resident memory grew by for these groups",
        work: Work::SameAs("idle-groups"),
        figure: "/resident_growth_mib",
        unit: "MiB",
        goal: Goal::Below(64.0),
    },
];

const fn small(in_flight: usize) -> Work {
    Work::Produce {
        connections: 32,
        in_flight,
        record_size: 1024,
        batch_size: 1024,
        partitions: 8,
        seconds: 8.0,
        requests_max: 3 * GIB / 1024,
    }
}

const fn commits(in_flight: usize) -> Work {
    Work::OffsetCommit { connections: 32, in_flight, partitions: 8, seconds: 8.0 }
}

const fn join(protocol: GroupProtocol) -> Work {
    Work::GroupJoin { members: 100, partitions: 100, protocol }
}

const fn hot(connections: usize, max_bytes: i32, receive: Receive) -> Work {
    Work::Fetch { connections, partitions: 4, max_bytes, preload_bytes: GIB, receive, seconds: 6.0 }
}

pub(crate) fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}
