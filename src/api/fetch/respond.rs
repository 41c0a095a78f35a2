//! The answer to a fetch: a head in memory, and the records as ranges of files that are sent between its parts.

use shards::Out;
use state::fetch_session::{Answer, Partitions};
use wire::generated::fetch_response::{EpochEndOffset, FetchResponse, FetchableTopicResponse, PartitionData};
use wire::{ApiKey, ErrorCode, Message, Records, Splice};

use super::plan::Item;
use super::{Pending, Session, error_code};
use crate::api::{Api, Context, open_response};
use crate::calls::{FileRange, ReadError};
use crate::net::Reply;

pub(super) fn respond(api: &Api, pending: Pending) -> Reply {
    let Pending { version, correlation_id, committed_only, mut items, session, .. } = pending;
    let mut response = FetchResponse::default();
    match session {
        Session::None => {}
        Session::Wanted(mut list) => {
            tell_changed(&mut list, &items);
            let mut sessions = api.fetches.sessions.borrow_mut();
            response.session_id = sessions.create(list, false, api.core.wall_ms(), || api.fetches.chance());
        }
        Session::Incremental { id, epoch } => match api.fetches.sessions.borrow_mut().resume(id, epoch) {
            Ok(list) => {
                response.session_id = id;
                let told = tell_changed(list, &items);
                let mut told = told.into_iter();
                items.retain(|_| told.next().unwrap_or(true));
            }
            Err(error) => {
                response.error_code = super::session_code(error) as i16;
                items.clear();
            }
        },
    }
    let mut files = Vec::new();
    for item in &items {
        let topic_id = item.topic.id;
        let same =
            response.responses.last().is_some_and(|last| last.topic_id == topic_id && last.topic == *item.topic.name);
        if !same {
            let topic = item.topic.name.as_ref().into();
            response.responses.push(FetchableTopicResponse { topic, topic_id, ..Default::default() });
        }
        if let Some(last) = response.responses.last_mut() {
            last.partitions.push(partition_data(item, committed_only, &mut files));
        }
    }
    let mut e = open_response(ApiKey::Fetch, version, correlation_id);
    response.encode(&mut e, version);
    e.end_frame();
    splice(e.buf, &e.splices, files)
}

/// The answer to a fetch that is refused as a whole.
pub(super) fn refused(cx: &Context, code: ErrorCode) -> Reply {
    cx.reply(&FetchResponse { error_code: code as i16, ..Default::default() })
}

/// Notes in the session what the client hears now; says for each item whether it has to.
fn tell_changed(list: &mut Partitions, items: &[Item]) -> Vec<bool> {
    let each = items.iter().map(|item| item.slot.is_none_or(|slot| list.answered(slot, &answer(item))));
    each.collect()
}

fn answer(item: &Item) -> Answer {
    match &item.result {
        Some(Ok(read)) => Answer {
            bytes: item.bytes(),
            high_watermark: read.high_watermark,
            log_start_offset: read.log_start_offset,
            failed: false,
            redirected: read.diverging.is_some(),
        },
        _ => Answer { high_watermark: -1, log_start_offset: -1, failed: true, ..Answer::default() },
    }
}

fn partition_data<'a>(item: &Item, committed_only: bool, files: &mut Vec<FileRange>) -> PartitionData<'a> {
    let mut data = PartitionData { partition_index: item.index, records: Records::Bytes(&[]), ..Default::default() };
    match &item.result {
        None => fail(&mut data, if item.place.is_none() { item.refused } else { ErrorCode::UnknownServerError }),
        Some(Err(error)) => {
            fail(&mut data, error_code(*error));
            if let ReadError::OutOfRange { log_start_offset, .. } = error {
                data.log_start_offset = *log_start_offset;
            }
        }
        Some(Ok(read)) => {
            data.high_watermark = read.high_watermark;
            data.last_stable_offset = read.last_stable_offset;
            data.log_start_offset = read.log_start_offset;
            data.aborted_transactions = committed_only.then(Vec::new);
            if let Some((epoch, end_offset)) = read.diverging {
                data.diverging_epoch = EpochEndOffset { epoch, end_offset };
            }
            if let Some(range) = &read.data {
                data.records = Records::Splice { len: range.len as usize, id: files.len() as u32 };
                files.push(range.clone());
            }
        }
    }
    data
}

fn fail(data: &mut PartitionData<'_>, code: ErrorCode) {
    data.error_code = code as i16;
    data.high_watermark = -1;
    data.last_stable_offset = -1;
    data.log_start_offset = -1;
}

/// The encoded bytes with the file ranges between them, in the order they are sent.
fn splice(buf: Vec<u8>, splices: &[Splice], files: Vec<FileRange>) -> Reply {
    if splices.is_empty() {
        return Reply::bytes(buf);
    }
    let mut outs = Vec::with_capacity(splices.len() * 2 + 1);
    let mut at = 0;
    for splice in splices {
        outs.push(Out::Bytes(buf[at..splice.at].to_vec()));
        at = splice.at;
        let FileRange { file, position, len } = &files[splice.id as usize];
        outs.push(Out::File { file: file.clone(), position: *position, len: *len });
    }
    if at < buf.len() {
        outs.push(Out::Bytes(buf[at..].to_vec()));
    }
    Reply(outs.into())
}
