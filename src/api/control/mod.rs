//! Requests that change metadata: taken to the controller on shard 0, carried out there, answered when every shard has
//! applied the new image.

mod alter_client_quotas;
mod configs;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod describe_quorum;
mod directories;
mod loggers;
mod unregister_broker;
mod update_features;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use shards::{Chunk, Lane, ShardId};
use state::metadata::Image;
use wire::header::RequestHeader;
use wire::{ApiKey, ErrorCode};

use super::{Api, Context, ReplyTo, table};
use crate::calls::{Answer, Call, ControlReply, ControlRequest, Query, Ticket};
use crate::controller::{Controller, RequestError};
use crate::net::{Outcome, Reply};
use crate::partition::{CheckpointsDue, write_checkpoints};

/// The controller and how far each shard has followed it. On shard 0 only.
pub(super) struct Control {
    pub(super) controller: RefCell<Controller>,
    /// The image each shard has applied last.
    applied: RefCell<Vec<i64>>,
    waiting: RefCell<Vec<Waker>>,
    published: Cell<i64>,
    checkpoints: CheckpointsDue,
}

impl Control {
    /// Runs one request to the controller. When its log fails the metadata on disk is not known any more, and the node
    /// stops.
    fn with<T>(&self, act: impl FnOnce(&mut Controller) -> Result<T, RequestError>) -> Result<T, RequestError> {
        let result = act(&mut self.controller.borrow_mut());
        if let Err(RequestError::Controller(error)) = &result {
            shards::fatal(format_args!("metadata log: {error}"));
        }
        result
    }

    fn image(&self) -> Arc<Image> {
        Arc::clone(self.controller.borrow().image())
    }

    pub(super) fn new(controller: Controller, shards: u16) -> Self {
        let version = controller.image().version();
        Self {
            controller: RefCell::new(controller),
            applied: RefCell::new(vec![version; usize::from(shards)]),
            waiting: RefCell::default(),
            published: Cell::new(version),
            checkpoints: CheckpointsDue::default(),
        }
    }
}

/// Handler of every API that the controller answers.
pub(super) fn forward(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request = ControlRequest::Frame { frame: cx.frame.to_vec(), listener: cx.listener };
    let router = Rc::clone(&api.router);
    Ok(api.spawn(to, async move {
        match router.control(request).await {
            ControlReply::Frame(bytes) => Some(Reply::bytes(bytes)),
            _ => None,
        }
    }))
}

impl Api {
    /// Carries out work for `from`, on the controller's shard.
    pub fn control(&self, from: ShardId, ask: Ticket, request: ControlRequest) {
        let api = self.shared();
        self.core.spawn(async move {
            let reply = match request {
                ControlRequest::Frame { frame, listener } => api.run_frame(frame, listener).await,
                ControlRequest::AutoCreate { topics } => ControlReply::Created(create_topics::auto(&api, topics).await),
                ControlRequest::CreateInternal { topic } => {
                    ControlReply::Created(create_topics::internal(&api, topic).await)
                }
                ControlRequest::ProducerIds => api.allocate_producer_ids(),
                ControlRequest::AssignDirectories(assigned) => directories::assign(&api, &assigned),
                ControlRequest::Checkpoint => directories::checkpoint(&api).await,
            };
            api.core.call(from, Lane::Reply, Call::Controlled { ask, reply: Box::new(reply) });
        });
    }

    async fn run_frame(&self, frame: Vec<u8>, listener: usize) -> ControlReply {
        let peeked = RequestHeader::peek(&frame);
        let side = self.settings.listeners.side(listener);
        let entry = peeked.and_then(|(key, version)| Some((table::find(side, key)?, version)));
        let Some((entry, version)) = entry else { return ControlReply::Close };
        let Ok(cx) = Context::new(entry.key, version, (listener, side), Chunk::from(frame)) else {
            return ControlReply::Close;
        };
        let bytes = match entry.key {
            ApiKey::CreateTopics => create_topics::run(self, &cx).await,
            ApiKey::DeleteTopics => delete_topics::run(self, &cx).await,
            ApiKey::CreatePartitions => create_partitions::run(self, &cx).await,
            ApiKey::IncrementalAlterConfigs => configs::run_incremental(self, &cx).await,
            ApiKey::AlterConfigs => configs::run_legacy(self, &cx).await,
            ApiKey::UpdateFeatures => update_features::run(self, &cx).await,
            ApiKey::AlterClientQuotas => alter_client_quotas::run(self, &cx).await,
            ApiKey::UnregisterBroker => unregister_broker::run(self, &cx).await,
            ApiKey::DescribeQuorum => describe_quorum::run(self, &cx),
            key => Err(format!("{} is not the controller's", key.name())),
        };
        match bytes {
            Ok(bytes) => ControlReply::Frame(bytes),
            Err(why) => {
                crate::metrics::log::info(format_args!("closing a connection: {why}"));
                ControlReply::Close
            }
        }
    }

    /// The controller; requests for it arrive on its shard only.
    fn controller(&self) -> &Control {
        self.control.get().expect("control requests go to the controller's shard")
    }

    fn allocate_producer_ids(&self) -> ControlReply {
        match self.controller().with(Controller::allocate_producer_ids) {
            Ok((first, count)) => ControlReply::ProducerIds { first, count },
            Err(error) => ControlReply::Failed(error.to_string()),
        }
    }

    /// Tells every shard of the newest image, and waits until all have applied it.
    async fn publish(&self) {
        let control = self.controller();
        let image = control.image();
        let version = image.version();
        if version > control.published.replace(version.max(control.published.get())) {
            // A topic that is created anew must not find the recovery points of a deleted one for long.
            control.checkpoints.at_once();
            for shard in 0..self.core.count() {
                self.core.call(ShardId(shard), Lane::Request, Call::Publish(Arc::clone(&image)));
            }
        }
        poll_fn(|cx| {
            if control.applied.borrow().iter().all(|applied| *applied >= version) {
                return Poll::Ready(());
            }
            control.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// A shard has applied an image.
    pub fn applied(&self, by: ShardId, version: i64) {
        let control = self.controller();
        control.applied.borrow_mut()[usize::from(by.0)] = version;
        control.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// Slow and periodic work of the controller's shard: snapshots of the metadata, checkpoints of all partitions.
    pub async fn keep_controller(&self) {
        let Some(control) = self.control.get() else { return };
        let followed = control.controller.borrow_mut().follow_directories();
        match followed {
            Ok(true) => self.publish().await,
            Ok(false) => {}
            Err(error) => shards::fatal(format_args!("metadata log: {error}")),
        }
        if let Err(error) = control.controller.borrow_mut().maintain() {
            shards::fatal(format_args!("metadata snapshot: {error}"));
        }
        let Some(wanted) = control.checkpoints.take(self.core.wall_ms(), &self.settings) else { return };
        let mut offsets = Vec::new();
        for shard in 0..self.core.count() {
            if let Answer::PartitionOffsets(more) = self.router.ask(ShardId(shard), Query::PartitionOffsets).await {
                offsets.extend(more);
            }
        }
        let directories = Arc::clone(&self.partitions.directories);
        match self.core.files().blocking(move || write_checkpoints(&directories, &offsets, wanted)).await {
            true => control.checkpoints.written(),
            false => control.checkpoints.at_once(),
        }
    }

    /// Ends the metadata log cleanly, where this is the controller's shard.
    pub fn close_controller(&self) {
        if let Some(control) = self.control.get()
            && let Err(error) = control.controller.borrow_mut().close()
        {
            crate::metrics::log::error(format_args!("close the metadata log: {error}"));
        }
    }
}

/// The code and words for a request of which nothing was done.
fn request_error(error: &RequestError) -> (ErrorCode, String) {
    let code = match error {
        RequestError::TooLarge(_) => ErrorCode::PolicyViolation,
        RequestError::ProducerIds(_) | RequestError::Controller(_) => ErrorCode::UnknownServerError,
    };
    (code, error.to_string())
}
