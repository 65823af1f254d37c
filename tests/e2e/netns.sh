#!/bin/bash
# netns.sh COMMAND...: runs a command in a network namespace of its own, so that server, browsers and captures see each
# other and nothing else. Root needs nothing more; everybody else gets a user namespace around it.
#
# lo carries the page and the WebSocket. d0 is one end of a veth pair that leads nowhere: browsers gather ICE candidates
# only on an interface that is no loopback, and Firefox only if there is a default route.
set -euo pipefail
# ip, sysctl and nft live there, and not everybody looks there.
export PATH="$PATH:/usr/sbin:/sbin"

if [ "$#" -eq 0 ]; then
  echo "usage: netns.sh COMMAND..." >&2
  exit 2
fi

if [ "${SFU_E2E_NETNS:-}" != inside ]; then
  flags=(--net)
  # Inside a user namespace we are root as well, so Chromium runs without its own sandbox in both cases. It shows no
  # page but ours.
  [ "$(id -u)" -eq 0 ] || flags+=(--user --map-root-user)
  if ! unshare "${flags[@]}" true 2>/dev/null; then
    {
      echo "netns.sh: the kernel does not let $(id -un) make a network namespace."
      echo "  as root: the container needs CAP_SYS_ADMIN."
      echo "  else:    allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, and on Ubuntu"
      echo "           kernel.apparmor_restrict_unprivileged_userns=0), or run as root."
    } >&2
    exit 77
  fi
  SFU_E2E_NETNS=inside exec unshare "${flags[@]}" "$0" "$@"
fi

sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.default.route_localnet=1
ip link set lo up
# Only 127.0.0.1 is lo's own: with the usual 127.0.0.0/8 an address taken from d0 would go on working.
ip addr del 127.0.0.1/8 dev lo
ip addr add 127.0.0.1/32 dev lo
ip link add d0 type veth peer name d1
ip link set d1 up
ip link set d0 up
ip addr add 127.7.0.1/32 dev d0 scope global # ip gives 127/8 the scope of the host unless told otherwise
ip route add default dev d0 src 127.7.0.1
exec "$@"
