#!/usr/bin/env bash
# Installs what `sfu-bench peers` compares us with: Debian's Janus, LiveKit's server by `go install`, and our load client
# for LiveKit. Never part of CI. Whatever cannot be had is said, and the rest is installed.
set -uo pipefail
cd "$(dirname "$0")/.."
livekit=v1.13.5
target=$(cargo metadata --no-deps --format-version 1 | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
rivals=$target/rivals
mkdir -p "$rivals"
status=0
missing() {
    echo "install-rivals: $*" >&2
    status=1
}

if command -v janus >/dev/null; then
    echo "janus: there already"
else
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends janus >/dev/null ||
        missing "no janus: it is in Debian, and needs root or sudo (after apt-get update)"
fi

if command -v go >/dev/null; then
    if [ ! -x "$rivals/livekit-server" ]; then
        GOBIN=$rivals go install "github.com/livekit/livekit-server/cmd/server@$livekit" &&
            mv "$rivals/server" "$rivals/livekit-server" || missing "no livekit-server $livekit"
    fi
    (cd benches/livekit-load && go build -o "$rivals/livekit-load" .) || missing "no livekit-load"
else
    missing "no Go, so no LiveKit"
fi
ls -1 "$rivals"
exit $status
