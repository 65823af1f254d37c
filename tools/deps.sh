#!/usr/bin/env bash
# Installs what `make test` needs and this machine lacks: browsers, a packet capture, namespace and firewall tools,
# valgrind, openssl for the certificate of test homeservers.
# Without root it installs nothing, says what is missing, and the tests that need it are skipped loudly (with CI=true: failed).
set -euo pipefail

declare -A package=(
    [chromium]=chromium [firefox-esr]=firefox-esr [tcpdump]=tcpdump [nft]=nftables [ip]=iproute2 [unshare]=util-linux [valgrind]=valgrind [openssl]=openssl
)
missing=()
for tool in "${!package[@]}"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
if command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }; then
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    exit 0
fi
echo "deps: NOT INSTALLED (needs root or sudo, and apt-get): ${missing[*]}" >&2
[ "${CI:-}" != true ]
