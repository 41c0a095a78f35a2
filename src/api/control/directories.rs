//! What a broker tells its controller of its log directories: in which of them replicas lie (AssignReplicasToDirs in
//! Apache Kafka, KIP-858), and that the checkpoint files are due.

use std::time::Duration;

use state::metadata::decide::AssignedDirectory;
use wire::Uuid;

use crate::api::Api;
use crate::calls::{ControlReply, PartitionId};

/// How soon it is noticed that checkpoints were written.
const LOOK: Duration = Duration::from_millis(20);

/// Answered when it is written and synced; shards hear of it as of any change.
pub(super) fn assign(api: &Api, assigned: &[(PartitionId, Uuid)]) -> ControlReply {
    let assigned: Vec<AssignedDirectory> = assigned
        .iter()
        .map(|(id, directory)| AssignedDirectory { topic_id: id.topic, partition: id.index, directory: *directory })
        .collect();
    match api.controller().with(|controller| controller.assign_directories(&assigned)) {
        Ok(known) => {
            let api = api.shared();
            api.clone().core.spawn(async move { api.publish().await });
            match known.iter().all(|known| *known) {
                true => ControlReply::Done,
                false => ControlReply::Failed("there is no such partition or directory".into()),
            }
        }
        Err(error) => ControlReply::Failed(error.to_string()),
    }
}

/// Answered when files were written that say where everything stood at this moment or later.
pub(super) async fn checkpoint(api: &Api) -> ControlReply {
    let control = api.controller();
    let begun = control.checkpoints.begun();
    control.checkpoints.at_once();
    while control.checkpoints.done() <= begun {
        api.core.sleep(LOOK).await;
    }
    ControlReply::Done
}
