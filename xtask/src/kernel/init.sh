#!/bin/busybox sh
# The first process of the emulated machine: shows it the files of the machine that emulates it, under
# memory that takes what is written, and runs the command that it finds there.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do
    insmod "$module"
done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose machine /machine
mount -t tmpfs -o size=75% memory /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/machine,upperdir=/memory/upper,workdir=/memory/work machine /root
mkdir -p /root/lib/modules
mount --bind "/machine@MODULES@" /root/lib/modules
for place in proc sys dev; do
    mount --move "/$place" "/root/$place"
done
# What the command line names, in the places that the kernel leaves to it.
command=$(sed -n 's/.*netproxy.command=\([^ ]*\).*/\1/p' /root/proc/cmdline)
exec switch_root /root /bin/sh "$command"
