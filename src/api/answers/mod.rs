//! APIs of features that this release does not have, or that are off or empty on a node alone, by theme.
//!
//! ApiVersions lists them because Kafka's clients look at the list as a whole. Each is answered as Apache Kafka answers it
//! when there is nothing (no group, no transaction, no quota) or when its feature is off; where that would promise
//! something that isn't done, the answer is UNSUPPORTED_VERSION: clients don't repeat such a request, they say so at
//! once. Nothing here claims a success.

pub(super) mod quorum;
pub(super) mod security;
pub(super) mod share;
pub(super) mod streams;
pub(super) mod transactions;

use wire::{ErrorCode, Str};

use super::{Api, Context};
use crate::net::Reply;

/// A reply, or why the request can't be read.
type Answer = Result<Reply, String>;

/// The code for what this release does not do.
const NOT_SERVED: i16 = ErrorCode::UnsupportedVersion as i16;

pub(super) const TRANSACTIONS: &str = "transactions are not served by this release";
pub(super) const SHARE_GROUPS: &str = "share groups are not served by this release";
const STREAMS_GROUPS: &str = "streams groups are not served by this release";

fn text(text: &str) -> Option<Str<'_>> {
    Some(text.into())
}
