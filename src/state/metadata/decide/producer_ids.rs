//! Blocks of producer ids (KIP-730).

use std::fmt;

use wire::generated::producer_ids_record::ProducerIdsRecord;

use super::Decision;
use crate::metadata::Image;

/// Ids in one block.
pub const PRODUCER_ID_BLOCK: i64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdBlock {
    pub first: i64,
    pub count: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProducerIdError {
    /// The broker is not registered, or has another epoch.
    StaleBrokerEpoch,
    /// All 2^63 ids were given out.
    Exhausted,
}

impl fmt::Display for ProducerIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StaleBrokerEpoch => "the broker is not registered with this epoch",
            Self::Exhausted => "there are no producer ids left",
        })
    }
}

impl std::error::Error for ProducerIdError {}

/// The next block, for this registration of a broker. No id is ever given out twice.
pub fn allocate_producer_ids(
    image: &Image,
    broker_id: i32,
    broker_epoch: i64,
) -> Result<Decision<ProducerIdBlock>, ProducerIdError> {
    if image.broker(broker_id).is_none_or(|broker| broker.epoch != broker_epoch) {
        return Err(ProducerIdError::StaleBrokerEpoch);
    }
    let first = image.next_producer_id();
    let next_producer_id = first.checked_add(PRODUCER_ID_BLOCK).ok_or(ProducerIdError::Exhausted)?;
    let record = ProducerIdsRecord { broker_id, broker_epoch, next_producer_id };
    Ok(Decision { records: vec![record.into()], answers: ProducerIdBlock { first, count: PRODUCER_ID_BLOCK } })
}
