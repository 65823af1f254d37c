#!/bin/bash
# loop-ns.sh CMD…: runs CMD in a network namespace of its own, where all media stays within 127.0.0.0/8. Needs root.
# A veth pair stands in for a network card: browsers gather no candidates on the loopback device.
exec unshare -n bash -c '
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.default.route_localnet=1
ip link set lo up; ip link add d0 type veth peer name d1; ip link set d1 up; ip link set d0 up
ip addr add 127.7.0.1/32 dev d0 scope global
ip route add default dev d0 src 127.7.0.1
exec "$@"' _ "$@"
