#!/bin/sh
# Builds every fuzz target and runs each for some seconds (default 20), beginning with the seeds.
# A crash leaves its input in artifacts/; `cargo +nightly fuzz run -s none TARGET artifacts/TARGET/FILE` shows it again.
set -eu
cd "$(dirname "$0")"
seconds=${1:-20}
command -v cargo-fuzz >/dev/null || cargo +nightly install cargo-fuzz --locked

# No sanitizer: the tree has no unsafe code, and without one the targets run three times as fast.
cargo +nightly fuzz build -s none
for target in $(cargo +nightly fuzz list); do
    echo "== $target, $seconds s"
    mkdir -p "corpus/$target" "seeds/$target"
    cargo +nightly fuzz run -s none "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -max_len=65536 -len_control=0 -timeout=10 -rss_limit_mb=2048 -verbosity=0
done
