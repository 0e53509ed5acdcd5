#!/bin/sh
# Makes the workloads of labs/web-db.yaml that are on this chassis: workloads.sh CHASSIS
# Each is a network namespace with one cable to a device of its port's name. Run as root in the
# machine, by Vagrant at every start.
set -eu
[ $# = 1 ] || { echo "usage: workloads.sh CHASSIS" >&2; exit 2; }
mtu=1418 # What the tunnel leaves of 1500.

# workload NAME NETWORK HOST: addresses 10.0.NETWORK.HOST and fd00:0:0:NETWORK::HOST
workload() {
  name=$1 network=$2 host=$3
  ! ip netns list | grep -qw "$name" || return 0
  ip netns add "$name"
  ip link add "$name" mtu $mtu type veth \
    peer name eth0 netns "$name" mtu $mtu address "02:00:00:00:0$network:$host"
  ip link set "$name" addrgenmode none up
  ip -n "$name" link set lo up
  ip -n "$name" link set eth0 up
  ip -n "$name" address add "10.0.$network.$host/24" dev eth0
  ip -n "$name" address add "fd00:0:0:$network::$host/64" dev eth0 nodad
  ip -n "$name" route add default via "10.0.$network.1"
  ip -n "$name" -6 route add default via "fd00:0:0:$network::1"
}

case $1 in
  a)
    workload vm1 1 10
    workload vm2 1 11
    ;;
  b)
    workload vm3 1 12
    workload vm5 2 11
    ;;
  c) workload vm4 2 10 ;;
esac
