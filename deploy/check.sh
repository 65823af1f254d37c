#!/bin/sh
# Checks what is in this directory, as far as the machine can. What it cannot check it says loudly, and with STRICT=true
# such a skip is a failure.
#
#   sfu-server.service   systemd-analyze verify, and an exposure of at most 2.0 by systemd-analyze security
#   compose.yaml         docker compose config if the plugin is there, otherwise its shape by PyYAML
#   Dockerfile           docker build --check if there is a daemon, otherwise rules of our own: it runs as a user, with a
#                        health check, from pinned base images, and copies only what exists
#   config.example.toml  the built server takes it
set -eu

cd "$(dirname "$0")/.."
failed=0
ok() { echo "ok       $1"; }
fail() {
    echo "FAILED   $1" >&2
    failed=1
}
skip() {
    echo "SKIPPED  $1" >&2
    if [ "${STRICT:-}" = true ]; then failed=1; fi
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if command -v systemd-analyze > "$scratch/path"; then
    # verify wants the program to exist; it need not be installed here.
    unit="$scratch/sfu-server.service"
    sed 's#/usr/local/bin/sfu-server#/bin/true#' deploy/sfu-server.service > "$unit"
    if systemd-analyze verify --man=no "$unit" > "$scratch/verify" 2>&1 && [ ! -s "$scratch/verify" ]; then
        ok "sfu-server.service: systemd-analyze verify"
    else
        cat "$scratch/verify" >&2
        fail "sfu-server.service: systemd-analyze verify"
    fi
    # The threshold is in tenths.
    if systemd-analyze security --offline=true --threshold=20 "$unit" > "$scratch/security" 2>&1; then
        ok "sfu-server.service: $(sed -n 's/.*\(exposure level.*: [0-9.]*\).*/\1/p' "$scratch/security")"
    else
        tail -n 1 "$scratch/security" >&2
        fail "sfu-server.service: systemd-analyze security"
    fi
else
    skip "sfu-server.service: there is no systemd-analyze"
fi

if docker compose version > "$scratch/compose" 2>&1; then
    if docker compose -f deploy/compose.yaml config --quiet; then
        ok "compose.yaml: docker compose config"
    else
        fail "compose.yaml: docker compose config"
    fi
elif python3 -c 'import yaml' 2> "$scratch/yaml"; then
    if python3 - << 'PYTHON'; then ok "compose.yaml: its shape (there is no docker compose to ask)"; else fail "compose.yaml: its shape"; fi
import os
import sys
import yaml

with open("deploy/compose.yaml") as file:
    compose = yaml.safe_load(file)
problems = []
if not set(compose) <= {"services", "volumes", "networks", "configs", "secrets", "name"}:
    problems.append("an unknown top-level key")
for name, service in compose["services"].items():
    build = service["build"]
    context = os.path.normpath(os.path.join("deploy", build["context"]))
    if not os.path.exists(os.path.join(context, build["dockerfile"])):
        problems.append(f"{name}: no {build['dockerfile']} in the build context")
    if service.get("read_only") is not True or service.get("cap_drop") != ["ALL"]:
        problems.append(f"{name}: not hardened")
    if "no-new-privileges:true" not in service.get("security_opt", []):
        problems.append(f"{name}: may gain privileges")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            if not os.path.exists(os.path.join("deploy", source)):
                problems.append(f"{name}: no {source}")
        elif source not in compose.get("volumes", {}):
            problems.append(f"{name}: volume {source} is not declared")
for problem in problems:
    print(problem, file=sys.stderr)
sys.exit(bool(problems))
PYTHON
else
    skip "compose.yaml: neither docker compose nor PyYAML"
fi

if docker info > "$scratch/docker" 2>&1; then
    if docker build --check -f deploy/Dockerfile . ; then ok "Dockerfile: docker build --check"; else fail "Dockerfile: docker build --check"; fi
else
    problems=$(
        last=$(awk '/^FROM /{text=""} {text=text "\n" $0} END{print text}' deploy/Dockerfile)
        echo "$last" | grep -q '^USER [1-9]' || echo "the last stage runs as root"
        echo "$last" | grep -q '^HEALTHCHECK ' || echo "the last stage has no health check"
        echo "$last" | grep -q '^ENTRYPOINT \[' || echo "the entry point is a shell, which keeps signals to itself"
        grep '^FROM ' deploy/Dockerfile | grep -Ev ':[0-9a-z.-]+( AS [a-z]+)?$' | sed 's/^/not pinned: /'
        grep '^FROM ' deploy/Dockerfile | grep ':latest' | sed 's/^/not pinned: /'
        grep -E '^COPY ' deploy/Dockerfile | grep -v -e '--from=' | sed 's/^COPY //' | while read -r line; do
            for path in ${line% *}; do [ -e "$path" ] || echo "COPY: there is no $path"; done
        done
        for apt in $(grep -n 'apt-get install' deploy/Dockerfile | cut -d: -f1); do
            sed -n "$((apt - 1)),$((apt + 1))p" deploy/Dockerfile | tr '\n' ' ' \
                | grep -q 'apt-get update.*--no-install-recommends.*rm -rf /var/lib/apt/lists' || echo "line $apt: apt-get leaves its lists"
        done
        toolchain=$(sed -n 's/^channel = "\([0-9]*\.[0-9]*\).*/\1/p' rust-toolchain.toml)
        grep -q "^FROM rust:$toolchain-" deploy/Dockerfile || echo "its Rust is not the toolchain's, $toolchain"
    )
    if [ -z "$problems" ]; then ok "Dockerfile: rules of our own"; else echo "$problems" >&2; fail "Dockerfile: rules of our own"; fi
    skip "Dockerfile: built by nobody, there is no Docker daemon"
fi

server=$(ls target/release/sfu-server target/debug/sfu-server 2> "$scratch/server" | head -n 1)
if [ -n "$server" ]; then
    if "$server" config check --config deploy/config.example.toml > "$scratch/check"; then
        ok "config.example.toml: the server takes it"
    else
        fail "config.example.toml: the server refuses it"
    fi
else
    skip "config.example.toml: the server has not been built"
fi

exit "$failed"
