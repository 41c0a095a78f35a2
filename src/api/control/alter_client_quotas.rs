//! AlterClientQuotas (key 49, KIP-546): quotas are kept in the metadata log and described. They slow nobody down yet.

use state::metadata::decide::{AlterQuotas, QuotaError};
use wire::ErrorCode;
use wire::generated::alter_client_quotas_request::{AlterClientQuotasRequest, EntityData as AskedEntity, EntryData};
use wire::generated::alter_client_quotas_response::{AlterClientQuotasResponse, EntityData, EntryData as AlteredEntry};

use super::request_error;
use crate::api::{Api, Context};

pub(super) async fn run(api: &Api, cx: &Context) -> Result<Vec<u8>, String> {
    let request: AlterClientQuotasRequest<'_> = cx.decode()?;
    let alterations: Vec<AlterQuotas> = request.entries.iter().map(wanted).collect();
    let validate_only = request.validate_only;
    let altered = api.controller().with(|controller| controller.alter_client_quotas(&alterations, validate_only));
    api.publish().await;
    let results: Vec<(ErrorCode, Option<String>)> = match altered {
        Ok(answers) => answers.into_iter().map(result).collect(),
        Err(error) => {
            let (code, words) = request_error(&error);
            vec![(code, Some(words)); alterations.len()]
        }
    };
    let entity = |one: &AskedEntity<'_>| EntityData {
        entity_type: one.entity_type.to_string().into(),
        entity_name: one.entity_name.as_ref().map(|name| name.to_string().into()),
    };
    let entries = request.entries.iter().zip(results).map(|(entry, (code, words))| AlteredEntry {
        error_code: code as i16,
        error_message: words.map(Into::into),
        entity: entry.entity.iter().map(entity).collect(),
    });
    Ok(cx.reply(&AlterClientQuotasResponse { entries: entries.collect(), ..Default::default() }).into_bytes())
}

fn wanted(entry: &EntryData<'_>) -> AlterQuotas {
    let part = |one: &AskedEntity<'_>| (one.entity_type.to_string(), one.entity_name.as_deref().map(str::to_owned));
    AlterQuotas {
        entity: entry.entity.iter().map(part).collect(),
        ops: entry.ops.iter().map(|op| (op.key.to_string(), (!op.remove).then_some(op.value))).collect(),
    }
}

fn result(answer: Result<(), QuotaError>) -> (ErrorCode, Option<String>) {
    match answer {
        Ok(()) => (ErrorCode::None, None),
        Err(error) => (ErrorCode::InvalidRequest, Some(error.to_string())),
    }
}
