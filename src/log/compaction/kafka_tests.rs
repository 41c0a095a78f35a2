//! On demand.
