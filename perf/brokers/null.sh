#!/bin/bash
# null.sh SERVER_PROPERTIES: the null broker on that file's port, for the load's own limit (produce and fetch only).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$(sed -n 's/^log\.dirs=//p' "$1")"
port=$(sed -n 's|^advertised.listeners=PLAINTEXT://127.0.0.1:||p' "$1")
exec "${PERF_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/perf}" null-broker --listen "127.0.0.1:$port"
