//! `quorum-state`: who leads the metadata log in which epoch (`FileQuorumStateStore`, `QuorumStateData`).

use std::fs;
use std::io;
use std::path::Path;

use wire::Uuid;

use super::error::ControllerError;

pub(super) const FILE: &str = "quorum-state";

/// What the file says to a node alone: the epoch, and which form it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QuorumState {
    pub leader_epoch: i32,
    /// Form 1 (KIP-853): the voters stand in the log. Form 0: they stand in `controller.quorum.voters`.
    pub voters_in_log: bool,
}

/// The file, if there is one.
pub(super) fn read(dir: &Path) -> Result<Option<QuorumState>, ControllerError> {
    let path = dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(ControllerError::io("read", &path))?,
    };
    let wrong = |reason: &str| ControllerError::NotOurs { path: path.clone(), reason: reason.into() };
    let epoch = number(&text, "leaderEpoch").and_then(|epoch| i32::try_from(epoch).ok());
    let leader_epoch = epoch.filter(|epoch| *epoch >= 0).ok_or_else(|| wrong("leaderEpoch is no epoch"))?;
    let voters_in_log = match number(&text, "data_version") {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(wrong("data_version is neither 0 nor 1")),
    };
    Ok(Some(QuorumState { leader_epoch, voters_in_log }))
}

/// The number behind `"key":`. Neither form has a text that could hold such a key, so nothing more of JSON is needed.
fn number(text: &str, key: &str) -> Option<i64> {
    let (_, rest) = text.split_once(&format!("\"{key}\""))?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The file's text: this node leads.
pub(super) fn text(state: QuorumState, node_id: i32) -> String {
    let epoch = state.leader_epoch;
    if state.voters_in_log {
        let directory = Uuid::ZERO;
        return format!(
            "{{\"leaderId\":{node_id},\"leaderEpoch\":{epoch},\"votedId\":-1,\"votedDirectoryId\":\"{directory}\",\"data_version\":1}}"
        );
    }
    format!(
        "{{\"clusterId\":\"\",\"leaderId\":{node_id},\"leaderEpoch\":{epoch},\"votedId\":-1,\"appliedOffset\":0,\
         \"currentVoters\":[{{\"voterId\":{node_id}}}],\"data_version\":0}}"
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::TempDir;
    use super::*;

    #[test]
    fn both_forms_are_read_as_written() {
        let dir = TempDir::new();
        assert_eq!(read(dir.path()).unwrap(), None);
        for voters_in_log in [false, true] {
            let state = QuorumState { leader_epoch: 7, voters_in_log };
            fs::write(dir.path().join(FILE), text(state, 3)).unwrap();
            assert_eq!(read(dir.path()).unwrap(), Some(state));
        }
        for wrong in ["", "{}", r#"{"leaderEpoch":-2,"data_version":0}"#, r#"{"leaderEpoch":1,"data_version":9}"#] {
            fs::write(dir.path().join(FILE), wrong).unwrap();
            assert!(read(dir.path()).is_err(), "{wrong}");
        }
    }
}
