//! Settings: Kafka's `server.properties` and topic configs, parsed, checked, resolved.
//!
//! `properties` holds what was said, `broker` what it means for this process, `layers` which of several words counts
//! once dynamic configs join in, `topic` what a partition carries along, `dynamic` what changes while the broker runs. `keys` is the one table behind them all.

pub mod addressing;
pub mod alter;
pub mod broker;
pub mod cleaner;
pub mod client_metrics;
pub mod describe;
pub mod dynamic;
pub mod group_bounds;
pub mod groups;
pub mod keys;
pub mod layers;
pub mod listener;
pub mod problem;
pub mod properties;
pub mod topic;
pub mod value;

pub use addressing::Addressing;
pub use broker::{Broker, Resolved, Surroundings, resolve};
pub use dynamic::{Cordoned, Dynamic};
pub use groups::GroupSettings;
pub use layers::Layers;
pub use problem::Problem;
pub use properties::Properties;
pub use topic::TopicConfig;
