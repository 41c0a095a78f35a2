//! Cores: executors, rings, sockets, files and the mesh between them. Knows no Kafka.
