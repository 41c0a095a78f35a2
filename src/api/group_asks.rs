//! Questions to the coordinators of groups: to each where its group lives, and one response when all have answered.

use std::cell::RefCell;

use state::group::{self, GroupError, Request};

use super::{Api, Context, ReplyTo};
use crate::calls::{GroupAsk, Grouped};
use crate::groups::{Asker, OFFSETS_TOPIC};
use crate::net::{Outcome, Reply};
use crate::route::Place;
use crate::tickets::Tickets;

/// Requests that wait for coordinators. A client that goes away meanwhile is answered into the void.
#[derive(Default)]
pub(super) struct GroupAsks {
    pending: RefCell<Tickets<Pending>>,
}

struct Pending {
    to: ReplyTo,
    replies: Vec<Option<group::Reply>>,
    missing: usize,
    finish: Finish,
}

/// Makes the response of the coordinators' answers, which come in the order of the questions.
type Finish = Box<dyn FnOnce(&Api, Vec<group::Reply>) -> Reply>;

/// All operations on a group: read 3, delete 6, describe 8, describe configs 10, alter configs 11.
const ALL_GROUP_OPERATIONS: i32 = super::metadata::bits(&[3, 6, 8, 10, 11]);

/// What `authorized_operations` says of a group.
pub(super) fn operations(are_asked: bool) -> i32 {
    if are_asked { ALL_GROUP_OPERATIONS } else { super::metadata::OPERATIONS_NOT_ASKED }
}

/// Asks the coordinator of one group.
pub(super) fn ask(
    api: &Api,
    to: ReplyTo,
    request: Request,
    finish: impl FnOnce(&Api, group::Reply) -> Reply + 'static,
) -> Outcome {
    ask_all(api, to, vec![request], |api, replies| {
        let unanswered = group::Reply::Unavailable(GroupError::NotAvailable);
        finish(api, replies.into_iter().next().unwrap_or(unanswered))
    })
}

/// Asks the coordinators of several groups, all at once.
pub(super) fn ask_all(
    api: &Api,
    to: ReplyTo,
    requests: Vec<Request>,
    finish: impl FnOnce(&Api, Vec<group::Reply>) -> Reply + 'static,
) -> Outcome {
    if requests.is_empty() {
        return Outcome::Reply(finish(api, Vec::new()));
    }
    let replies: Vec<Option<group::Reply>> = requests.iter().map(|_| None).collect();
    let pending = Pending { to, missing: replies.len(), replies, finish: Box::new(finish) };
    let ask = api.group_asks.pending.borrow_mut().insert(pending);
    let topic = api.router.topic(OFFSETS_TOPIC);
    for (item, request) in (0..).zip(requests) {
        let asker = Asker { shard: api.core.id(), ask, item };
        let place = topic.as_ref().and_then(|topic| {
            let partition = group::partition_of(group_of(&request), topic.partition_count());
            Some((api.router.place(topic, partition)?, partition))
        });
        match place {
            Some((Place::Here, partition)) => api.groups.handle(asker, partition, request),
            Some((Place::There(shard), partition)) => {
                api.router.group(shard, GroupAsk { ask, item, partition, request });
            }
            None => api.groups.refuse(asker, GroupError::NotCoordinator),
        }
    }
    Outcome::Later
}

/// A coordinator has answered.
pub(super) fn grouped(api: &Api, grouped: Grouped) {
    let mut all = api.group_asks.pending.borrow_mut();
    let Some(pending) = all.get_mut(grouped.ask) else { return };
    let Some(place) = pending.replies.get_mut(grouped.item as usize) else { return };
    if place.replace(grouped.reply).is_none() {
        pending.missing -= 1;
    }
    if pending.missing > 0 {
        return;
    }
    let Some(Pending { to, replies, finish, .. }) = all.remove(grouped.ask) else { return };
    drop(all);
    let reply = finish(api, replies.into_iter().flatten().collect());
    api.settle_reply(to, Some(reply));
}

fn group_of(request: &Request) -> &str {
    match request {
        Request::Join(request) => &request.group,
        Request::Sync(request) => &request.group,
        Request::Heartbeat(request) => &request.group,
        Request::Leave(request) => &request.group,
        Request::ConsumerHeartbeat(request) => &request.group,
        Request::Commit(request) => &request.group,
        Request::Fetch(request) => &request.group,
        Request::DeleteOffsets(request) => &request.group,
        Request::Describe { group } | Request::DescribeConsumer { group } | Request::Delete { group } => group,
    }
}

/// The error of an answer that is none: the coordinator can answer nothing, or said something else than was asked.
pub(super) fn unavailable(reply: group::Reply) -> GroupError {
    match reply {
        group::Reply::Unavailable(error) => error,
        _ => GroupError::NotAvailable,
    }
}

/// Who sent the request, as members are shown.
pub(super) fn client(cx: &Context) -> group::Client {
    let host = cx.peer.map_or_else(String::new, |_| format!("/{}", cx.client_address()));
    group::Client { id: cx.client_id().unwrap_or_default(), host }
}
