//! UpdateFeatures (key 57, KIP-584): other levels for features. One error refuses the whole request.

use state::metadata::decide::{FeatureUpdate, UpgradeType};
use wire::ErrorCode;
use wire::generated::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use wire::generated::update_features_response::{UpdatableFeatureResult, UpdateFeaturesResponse};

use super::request_error;
use crate::api::{Api, Context};

pub(super) async fn run(api: &Api, cx: &Context) -> Result<Vec<u8>, String> {
    let request: UpdateFeaturesRequest<'_> = cx.decode()?;
    let updates: Vec<FeatureUpdate> = request.feature_updates.iter().map(|one| wanted(one, cx.version)).collect();
    let validate_only = request.validate_only;
    let updated = api.controller().with(|controller| controller.update_features(&updates, validate_only));
    api.publish().await;
    let refused = match updated {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some((ErrorCode::InvalidUpdateVersion, error.to_string())),
        Err(error) => Some(request_error(&error)),
    };
    let response = match refused {
        Some((code, words)) => {
            let error_message = Some(format!("no feature was changed: {words}").into());
            UpdateFeaturesResponse { error_code: code as i16, error_message, ..Default::default() }
        }
        None => {
            // Before version 2 a success is told for each feature.
            let named = request.feature_updates.iter().filter(|_| cx.version <= 1);
            let result = |one: &FeatureUpdateKey<'_>| UpdatableFeatureResult {
                feature: one.feature.to_string().into(),
                ..Default::default()
            };
            UpdateFeaturesResponse { results: named.map(result).collect(), error_message: None, ..Default::default() }
        }
    };
    Ok(cx.reply(&response).into_bytes())
}

/// Version 0 only tells whether a downgrade is allowed.
fn wanted(one: &FeatureUpdateKey<'_>, version: i16) -> FeatureUpdate {
    let upgrade_type = match version {
        0 if one.allow_downgrade => Some(UpgradeType::SafeDowngrade),
        0 => Some(UpgradeType::Upgrade),
        _ => UpgradeType::from_id(one.upgrade_type),
    };
    FeatureUpdate { name: one.feature.to_string(), level: one.max_version_level, upgrade_type }
}
