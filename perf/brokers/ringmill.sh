#!/bin/bash
# ringmill.sh SERVER_PROPERTIES: ringmill in the foreground. RINGMILL_BIN: another binary than the release build beside this.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
exec "${RINGMILL_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/ringmill}" serve "$1"
