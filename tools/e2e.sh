#!/usr/bin/env bash
# Runs the browser tests: tools/e2e.sh smoke|full. `full` begins with those of the SDK, which need no server.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
set=${1:-smoke}
cd "$root/tests/e2e"
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund
if [ "$set" = full ] && [ -x /usr/bin/chromium ]; then
    status=0
    (cd "$root/clients/web" && "$root/tests/e2e/netns.sh" npm run --silent test:browser) || status=$?
    # 77: no namespaces here; what follows says so, and knows whether that is a failure.
    [ "$status" -eq 0 ] || [ "$status" -eq 77 ] || exit "$status"
fi
npm run --silent "$set"
