//! This program as the load, in a process and on a core of its own.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::broker::{Broker, Place};
use crate::failure::{Doing, Failure};

/// `options`: words of the command line, separated by spaces.
pub(crate) fn run(broker: &Broker, place: &Place, command: &str, topic: &str, options: &str) -> Result<Value, Failure> {
    let this = std::env::current_exe().doing("find this program")?;
    let pid = broker.pid().to_string();
    let output = Command::new("nice")
        .args([&format!("-n{}", place.nice), "taskset", "-c", &place.cores])
        .arg(this)
        .args([command, "--bootstrap", &broker.home.address, "--topic", topic, "--watch-pid", &pid])
        .args(options.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .doing("run the load")?;
    let said = String::from_utf8_lossy(&output.stderr);
    eprint!("{said}");
    if !output.status.success() {
        let why = said.lines().last().unwrap_or("it said nothing");
        return Err(Failure::Setup(format!("the load against {} failed: {why} ({command} {options})", broker.name)));
    }
    serde_json::from_slice(&output.stdout).map_err(|_| Failure::Malformed("the load's result"))
}
