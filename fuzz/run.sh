#!/bin/sh
# Builds every fuzz target and runs each for some seconds (default 20), beginning with the seeds.
# A crash leaves its input in artifacts/; `cargo +nightly fuzz run TARGET artifacts/TARGET/FILE` shows it again.
set -eu
cd "$(dirname "$0")"
seconds=${1:-20}
command -v cargo-fuzz >/dev/null || cargo +nightly install cargo-fuzz --locked

cargo +nightly fuzz build
# The test kit's stand-in for DTLS leaks on purpose, so that leaks are not looked for.
export ASAN_OPTIONS=detect_leaks=0
for target in $(cargo +nightly fuzz list); do
    echo "== $target, $seconds s"
    mkdir -p "corpus/$target" "seeds/$target"
    cargo +nightly fuzz run "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
