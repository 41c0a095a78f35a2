//! ListGroups (key 16, KIP-518, KIP-848): the groups of this node, by state and type where that is asked.

use std::rc::Rc;

use shards::ShardId;
use state::group::{GroupError, ListedGroup};
use wire::generated::list_groups_request::ListGroupsRequest;
use wire::generated::list_groups_response::{ListGroupsResponse, ListedGroup as Row};

use super::{Api, Context, ReplyTo, group_errors};
use crate::net::Outcome;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: ListGroupsRequest<'_> = cx.decode()?;
    let lower = |words: &[wire::Str<'_>]| -> Vec<String> { words.iter().map(|word| word.to_lowercase()).collect() };
    let (states, types) = (lower(&request.states_filter), lower(&request.types_filter));
    let (router, form, shards) = (Rc::clone(&api.router), cx.form(), api.nodes.shards_behind(api.core.id().0));
    Ok(api.spawn(to, async move {
        let mut groups = Vec::new();
        let mut failed: Option<GroupError> = None;
        for shard in shards {
            match router.list_groups(ShardId(shard)).await {
                Ok(more) => groups.extend(more),
                Err(error) => failed = Some(error),
            }
        }
        groups.sort_by_key(|group: &ListedGroup| place(&group.group));
        let is_wanted = |group: &ListedGroup| contains(&states, group.state) && contains(&types, group.kind);
        Some(form.reply(&match failed {
            None => ListGroupsResponse {
                groups: groups.into_iter().filter(is_wanted).map(row).collect(),
                ..Default::default()
            },
            Some(error) => ListGroupsResponse { error_code: group_errors::code(&error) as i16, ..Default::default() },
        }))
    }))
}

/// An empty filter lets everything through.
fn contains(filter: &[String], word: &str) -> bool {
    filter.is_empty() || filter.iter().any(|wanted| *wanted == word.to_lowercase())
}

/// Where Kafka's coordinator has the group among the others: in its hash table (`BaseHashTable`), by Java's hash of the name.
/// Nothing promises the order, but Kafka's own tests of this API read it.
fn place(group: &str) -> u32 {
    let hash = group.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    hash.wrapping_mul(0x9e37_79b9)
}

fn row(group: ListedGroup) -> Row<'static> {
    Row {
        group_id: group.group.into(),
        protocol_type: group.protocol_type.into(),
        group_state: group.state.into(),
        group_type: group.kind.to_lowercase().into(),
    }
}
