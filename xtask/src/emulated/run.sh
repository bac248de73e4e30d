#!/bin/sh
# On the emulated machine: what a node has, then the command.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root RUST_BACKTRACE=0
mount -t tmpfs run /run
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
for module in veth bridge vxlan dummy sch_ingress cls_bpf inet_diag udp_diag tcp_diag nf_tables br_netfilter \
    sctp 8021q bonding; do
    modprobe "$module"
done
cd @ROOT@ || exit
echo "@BEGIN@"
@COMMAND@
echo "@END@$?"
echo o > /proc/sysrq-trigger
sleep 60
