//! UnregisterBroker (key 64, KIP-631): forgets a broker that is gone; the one that runs here stays.

use state::metadata::decide::UnregisterError;
use wire::ErrorCode;
use wire::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use super::request_error;
use crate::api::{Api, Context};

pub(super) async fn run(api: &Api, cx: &Context) -> Result<Vec<u8>, String> {
    let request: UnregisterBrokerRequest = cx.decode()?;
    let broker = api.nodes.broker_of(request.broker_id);
    let unregistered = api.controller().with(|controller| controller.unregister_broker(broker));
    api.publish().await;
    let (code, words) = match unregistered {
        Ok(Ok(())) => (ErrorCode::None, None),
        Ok(Err(error)) => (code(&error), Some(error.to_string())),
        Err(error) => {
            let (code, words) = request_error(&error);
            (code, Some(words))
        }
    };
    let (error_code, error_message) = (code as i16, words.map(Into::into));
    Ok(cx.reply(&UnregisterBrokerResponse { error_code, error_message, ..Default::default() }).into_bytes())
}

fn code(error: &UnregisterError) -> ErrorCode {
    match error {
        UnregisterError::NotRegistered(_) => ErrorCode::BrokerIdNotRegistered,
        // Kafka would do it; here it would end the only broker, or leave partitions with a replica that nobody is.
        UnregisterError::Myself(_) | UnregisterError::HasReplicas(..) => ErrorCode::UnsupportedVersion,
    }
}
