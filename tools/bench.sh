#!/usr/bin/env bash
# Measures what benches/scoreboard.md has rows for and prints both beside each other.
#   tools/bench.sh            the short set: every row marked `short`, three runs of 5 s
#   tools/bench.sh full       all rows, five runs of 10 s
#   tools/bench.sh short ROW  one row by its name
# The release build of the server and of the harness is made first. Use a quiet machine; the spread is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-short}
only=${2:-}
case $mode in
    short) runs=3 duration=5s ;;
    full) runs=5 duration=10s ;;
    *) echo "usage: tools/bench.sh [short|full] [row]" >&2; exit 2 ;;
esac
cargo build --release -p sfu-server -p sfu-bench
target=$(cargo metadata --no-deps --format-version 1 | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
bench=$target/release/sfu-bench
results=$(mktemp)
trap 'rm -f "$results"' EXIT
status=0

# row NAME MODE ARGUMENTS…: the last line on stdout is the row's JSON.
row() {
    local name=$1 set=$2
    shift 2
    [[ -z $only || $only == "$name" ]] || return 0
    [[ $mode == full || $set == short || -n $only ]] || return 0
    echo "== $name: sfu-bench $*" >&2
    local line
    if ! line=$("$bench" "$@" | tail -n 1); then
        echo "   $name: no valid figure, or not in every run" >&2
        status=1
    fi
    [[ -z $line ]] || printf '%s\t%s\n' "$name" "$line" >>"$results"
}

row 1x50 short fanout --subscribers 50 --publishers 1 --runs "$runs" --duration "$duration"
row 10x10 short fanout --subscribers 10 --publishers 10 --runs "$runs" --duration "$duration"
row 1x200 full fanout --subscribers 200 --publishers 1 --runs "$runs" --duration "$duration"
row 25x25 full fanout --subscribers 25 --publishers 25 --runs "$runs" --duration "$duration"
row audio50 full fanout --subscribers 50 --publishers 1 --audio --runs "$runs" --duration "$duration"
row idle200 short idle --peers 200 --duration "$duration"
row idle1000 full idle --peers 1000 --duration "$duration"
row engine1x50 short engine --subscribers 50 --publishers 1 --runs "$runs" --duration "$duration"
row engine10x10 short engine --subscribers 10 --publishers 10 --runs "$runs" --duration "$duration"
row 1x20 full fanout --subscribers 20 --publishers 1 --runs "$runs" --duration "$duration"
row 1x500 full fanout --subscribers 500 --publishers 1 --runs "$runs" --duration "$duration"
row 1x50idle100 full fanout --subscribers 50 --publishers 1 --idle-streams 100 --runs "$runs" --duration "$duration"
row latency50 full latency --subscribers 50 --duration "$duration"
row storm500 full storm --subscribers 500
row churn100k full churn --joins 100000
row rivals full peers --runs "$runs" --duration "$duration"
python3 tools/scoreboard.py benches/scoreboard.md "$results"
exit $status
