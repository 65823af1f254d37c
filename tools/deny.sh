#!/usr/bin/env bash
# Licences, sources and bans by cargo-deny, built from source where it is missing (some two minutes). The advisory
# database needs the network at large: it is asked for, and passed over with a word where it cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny
cargo deny --log-level error check bans licenses sources
if ! cargo deny --log-level error check advisories 2>/dev/null; then
    if [ -d "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs" ] && ls "${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/*/crates >/dev/null 2>&1; then
        cargo deny check advisories
    else
        echo "deny: SKIPPED advisories: their database cannot be reached from here" >&2
    fi
fi
