//! Bytes and words: the messages and record batches of the Apache Kafka protocol. No I/O.
#![forbid(unsafe_code)]
