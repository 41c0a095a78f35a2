//! InitProducerId (key 22, KIP-98): an id for an idempotent producer. Each shard hands out ids of a block that the
//! controller gave it, so no id is ever given twice, restarts included.

use std::rc::Rc;

use wire::ErrorCode;
use wire::generated::init_producer_id_request::InitProducerIdRequest;
use wire::generated::init_producer_id_response::InitProducerIdResponse;

use super::{Api, Context, ReplyTo};
use crate::calls::{ControlReply, ControlRequest};
use crate::net::Outcome;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: InitProducerIdRequest<'_> = cx.decode()?;
    match request.transactional_id.as_deref() {
        Some("") => return Ok(refuse(cx, ErrorCode::InvalidRequest)),
        // Transactions have no coordinator here yet; as long as they don't, producers had better not ask again.
        Some(_) => return Ok(refuse(cx, ErrorCode::UnsupportedVersion)),
        None => {}
    }
    if let Some(producer_id) = api.next_producer_id() {
        return Ok(Outcome::Reply(cx.reply(&response(producer_id))));
    }
    let (api, reply) = (api.shared(), cx.later());
    let shared = Rc::clone(&api);
    Ok(shared.spawn(to, async move {
        if let ControlReply::ProducerIds { first, count } = api.router.control(ControlRequest::ProducerIds).await {
            api.take_producer_ids(first, count);
        }
        Some(match api.next_producer_id() {
            Some(producer_id) => reply.reply(&response(producer_id)),
            None => reply.reply(&refusal(ErrorCode::CoordinatorLoadInProgress)),
        })
    }))
}

impl Api {
    fn next_producer_id(&self) -> Option<i64> {
        let (next, end) = self.producer_ids.get();
        (next < end).then(|| {
            self.producer_ids.set((next + 1, end));
            next
        })
    }

    /// A block that came while another was still in use is lost; ids are plenty.
    fn take_producer_ids(&self, first: i64, count: i64) {
        let (next, end) = self.producer_ids.get();
        if next >= end {
            self.producer_ids.set((first, first + count));
        }
    }
}

fn response(producer_id: i64) -> InitProducerIdResponse {
    InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() }
}

fn refusal(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse { error_code: code as i16, producer_id: -1, producer_epoch: -1, ..Default::default() }
}

fn refuse(cx: &Context, code: ErrorCode) -> Outcome {
    Outcome::Reply(cx.reply(&refusal(code)))
}
