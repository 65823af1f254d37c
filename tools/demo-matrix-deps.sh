#!/usr/bin/env bash
# Fetches what `make demo-matrix` and the tests with real homeservers need, so that they need no network: browsers, the web
# client's packages, crates, and Synapse in .demo/, a folder that git ignores.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
requirements=$root/tools/synapse-requirements.txt
venv=$root/.demo/synapse

synapse() {
    local python='' candidate
    # The stamp is written last: a folder without it is a fetch that was interrupted.
    cmp -s "$requirements" "$venv/requirements.txt" && touch "$venv/requirements.txt" && return 0
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3 python3.10; do
        [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && python=$candidate && break
    done
    if [ -z "$python" ]; then
        echo "demo-matrix-deps: Synapse needs Python 3.10 or newer: install it, or name one with PYTHON=" >&2
        return 1
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "demo-matrix-deps: $python has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2
        return 1
    fi
    rm -rf "$venv"
    mkdir -p "$root/.demo"
    echo '*' > "$root/.demo/.gitignore"
    echo "demo-matrix-deps: Synapse, with $("$python" --version), into .demo/synapse (240 MB)"
    "$python" -m venv "$venv"
    # Wheels only: nothing is compiled, and nothing is resolved, the file names all of it.
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: --requirement "$requirements"
    cp "$requirements" "$venv/requirements.txt"
}

# The browsers are for people and tests; the demo itself starts without them.
"$root/tools/deps.sh"
synapse
[ "${1:-}" = synapse ] && exit 0
make -C "$root" --no-print-directory clients/web/node_modules/.package-lock.json
cargo fetch --quiet --locked --manifest-path "$root/Cargo.toml"
echo "demo-matrix-deps: all is here. Next: make demo-matrix"
