#!/usr/bin/env bash
# Runs the browser tests: tools/e2e.sh smoke|full
set -euo pipefail
cd "$(dirname "$0")/../tests/e2e"
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund
exec npm run --silent "${1:-smoke}"
