#!/bin/bash
# private_libvirtd.sh DIR NAME HANDLER: a libvirtd of its own in the foreground, for tests that stop and kill it.
# private_libvirtd.sh DIR NAME virtlogd: the virtlogd that it uses with HANDLER logd. It outlives the libvirtd.
# Own mount, UTS and network namespaces; its socket is DIR/run/libvirt-sock. DIR must be short and 0711 or wider.
# The process that is started becomes libvirtd, so its pid is the one to signal. Guests outlive it: end them first.
set -eu
dir=$(realpath "$1"); name=$2 handler=$3
mkdir -p "$dir"/{run,etc/qemu/networks,lib/qemu,cache/qemu,log/qemu}; chmod 711 "$dir"
if [ "$handler" = virtlogd ]; then
  command="/usr/sbin/virtlogd --pid-file $dir/run/virtlogd.pid"
else
  command="/usr/sbin/libvirtd --pid-file $dir/run/libvirtd.pid"
cat > "$dir/etc/libvirtd.conf" <<X
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0777"
host_uuid = "$(cat "$dir/host_uuid" 2>/dev/null || tee "$dir/host_uuid" < /proc/sys/kernel/random/uuid)"
X
cat > "$dir/etc/qemu.conf" <<X
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "$handler"
X
fi
exec unshare -m -u -n bash -c '
  set -eu; dir=$1; name=$2
  hostname "$name"; ip link set lo up 2>/dev/null || true
  mount --make-rprivate /
  for p in run/libvirt:run etc/libvirt:etc var/lib/libvirt:lib var/cache/libvirt:cache var/log/libvirt:log; do
    mkdir -p "/${p%%:*}"; mount --bind "$dir/${p##*:}" "/${p%%:*}"; done
  exec $3' _ "$dir" "$name" "$command"
