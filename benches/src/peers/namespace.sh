# A network namespace of its own for the rest of the run: rivals do not gather loopback addresses, and nothing that they
# do shall reach a real network. d0 is one end of a veth pair that leads nowhere; its address is local, so packets take
# the same way as on lo.
set -eu
export PATH="$PATH:/usr/sbin:/sbin"
sysctl -qw net.ipv6.conf.all.disable_ipv6=1
ip link set lo up
ip link add d0 type veth peer name d1
ip link set d1 up
ip link set d0 up
ip addr add "$SFU_BENCH_ADDRESS/32" dev d0
ip route add default dev d0 src "$SFU_BENCH_ADDRESS"
exec "$@"
