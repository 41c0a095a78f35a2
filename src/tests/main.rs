//! Tests of the broker as a process: real sockets, real files, bytes that no honest client would send.
//!
//! Each test starts the broker that cargo just built (or RINGMILL_TEST_BINARY), in a directory of its own. With RINGMILL_TEST_BOOTSTRAP=HOST:PORT and
//! RINGMILL_TEST_PID=N they run against a broker that is there already; `cargo x interop hostile --control` does that with
//! Apache Kafka, whose answers are the expected ones. What Kafka does not survive is left out there.
#![forbid(unsafe_code)]

mod admin;
mod answers;
mod batches;
mod broker;
mod cleaning;
mod coordinators;
mod crowd;
mod direct;
mod directories;
mod frames;
mod groups;
mod many;
mod moves;
mod produce;
mod raw;
mod reading;
mod serving;
mod settings;
mod site;
mod telemetry;
mod topics;
