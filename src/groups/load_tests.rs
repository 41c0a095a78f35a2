//! What the loader makes of logs: whole, of transactions, and damaged.
