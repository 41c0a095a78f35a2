//! ListPartitionReassignments (key 46, KIP-455): on a node alone none is ever under way.

use wire::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use super::{Api, Context};
use crate::net::Reply;

pub(super) fn handle(_: &Api, cx: &Context) -> Result<Reply, String> {
    cx.decode::<ListPartitionReassignmentsRequest<'_>>()?;
    Ok(cx.reply(&ListPartitionReassignmentsResponse { error_message: None, ..Default::default() }))
}
