//! OffsetDelete (key 47, KIP-496): a group forgets how far it has read.

use state::group::{CommittedTopic, DeleteOffsets, Reply as GroupReply, Request};
use wire::ErrorCode;
use wire::generated::offset_delete_request::OffsetDeleteRequest;
use wire::generated::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::group_asks::{ask, unavailable};
use super::{Api, Context, ReplyTo, group_errors};
use crate::net::Outcome;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: OffsetDeleteRequest<'_> = cx.decode()?;
    let (mut topics, mut answered) = (Vec::new(), Vec::new());
    for topic in request.topics {
        let count = api.router.topic(&topic.name).map_or(0, |found| found.partition_count());
        let indexes = topic.partitions.iter().map(|one| one.partition_index);
        let (known, unknown): (Vec<i32>, Vec<i32>) = indexes.partition(|index| (0..count).contains(index));
        if !unknown.is_empty() {
            let code = ErrorCode::UnknownTopicOrPartition as i16;
            add(&mut answered, topic.name.to_string(), unknown.into_iter().map(|index| (index, code)));
        }
        if !known.is_empty() {
            topics.push((topic.name.into_owned(), known));
        }
    }
    let form = cx.form();
    // A group that is asked to forget nothing is asked all the same: it may not be there.
    let delete = DeleteOffsets { group: request.group_id.into_owned(), topics };
    Ok(ask(api, to, Request::DeleteOffsets(delete), move |_, reply| {
        let deleted = match reply {
            GroupReply::OffsetsDeleted(deleted) => deleted,
            other => Err(unavailable(other)),
        };
        match deleted {
            Ok(topics) => {
                for CommittedTopic { name, partitions, .. } in topics {
                    let codes =
                        partitions.into_iter().map(|(index, error)| (index, group_errors::code_of(error.as_ref())));
                    add(&mut answered, name, codes);
                }
                form.reply(&OffsetDeleteResponse { topics: answered, ..Default::default() })
            }
            Err(error) => {
                let error_code = group_errors::code(&error) as i16;
                form.reply(&OffsetDeleteResponse { error_code, ..Default::default() })
            }
        }
    }))
}

/// Partitions of a topic that was answered before join it there.
fn add(answered: &mut Vec<OffsetDeleteResponseTopic<'static>>, name: String, codes: impl Iterator<Item = (i32, i16)>) {
    let partitions =
        codes.map(|(partition_index, error_code)| OffsetDeleteResponsePartition { partition_index, error_code });
    match answered.iter_mut().find(|known| known.name == name.as_str()) {
        Some(known) => known.partitions.extend(partitions),
        None => answered.push(OffsetDeleteResponseTopic { name: name.into(), partitions: partitions.collect() }),
    }
}
