#!/bin/bash
# What an emulated Pi's kernel and firmware would set up before its sshd starts. emulated_pi.py runs this in namespaces
# of its own (mounts, processes, host name), so nothing of it is seen outside and all of it ends with it.
#
#   ROOT       the read-only system: unpacked Debian packages for arm64
#   HOME_DIR   the board's home folder, which outlives a power cut as a card would
#   SETTINGS   sshd's configuration, keys and the stand-in vcgencmd
#   MODEL, FEATURES, VARIANT, PART, REVISION   of the processor, as Linux on such a board shows it
set -euo pipefail
umask 022

mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount -o remount,bind,ro "$ROOT"
mount --bind "$HOME_DIR" "$ROOT/home/pi"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount -t tmpfs -o mode=755 tmpfs "$ROOT/run"
mkdir "$ROOT/run/sshd" "$ROOT/run/board"
mount --bind "$SETTINGS" "$ROOT/run/board"
mount -t proc proc "$ROOT/proc"

mount -t tmpfs -o mode=755,size=1m tmpfs "$ROOT/dev"
for device in null zero full random urandom tty; do
  touch "$ROOT/dev/$device"
  mount --bind "/dev/$device" "$ROOT/dev/$device"
done
mkdir "$ROOT/dev/pts" "$ROOT/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$ROOT/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/dev/shm"
ln -s pts/ptmx "$ROOT/dev/ptmx"
ln -s /proc/self/fd "$ROOT/dev/fd"
for number in 0 1 2; do
  names=(stdin stdout stderr)
  ln -s "/proc/self/fd/$number" "$ROOT/dev/${names[$number]}"
done

# The processors, in /sys and /proc/cpuinfo. Without possible and present, the cpuinfo library that the runtime uses
# fails to start, and XNNPACK is left out without a word.
mount -t tmpfs -o mode=755,size=1m tmpfs "$ROOT/sys"
cpus="$ROOT/sys/devices/system/cpu"
count=$(nproc)
mkdir -p "$cpus"
for file in possible present online; do echo "0-$((count - 1))" > "$cpus/$file"; done
echo 0 > "$cpus/kernel_max"
for ((i = 0; i < count; i++)); do
  mkdir -p "$cpus/cpu$i/topology"
  echo 0 > "$cpus/cpu$i/topology/physical_package_id"
  echo "$i" > "$cpus/cpu$i/topology/core_id"
  printf '%x\n' $((1 << i)) > "$cpus/cpu$i/topology/thread_siblings"
  printf '%x\n' $(((1 << count) - 1)) > "$cpus/cpu$i/topology/core_siblings"
  printf '%s\t: %s\n' processor "$i" BogoMIPS 108.00 Features "$FEATURES" 'CPU implementer' 0x41 'CPU architecture' 8 \
    'CPU variant' "$VARIANT" 'CPU part' "$PART" 'CPU revision' "$REVISION"
  echo
done > "$ROOT/run/cpuinfo"
printf 'Model\t\t: %s\n' "$MODEL" >> "$ROOT/run/cpuinfo"
mount --bind "$ROOT/run/cpuinfo" "$ROOT/proc/cpuinfo"

# The firmware's word for the board: it says that this is none.
mkdir -p "$ROOT/sys/firmware/devicetree/base"
printf '%s\0' "$MODEL" > "$ROOT/sys/firmware/devicetree/base/model"
mount -o remount,ro "$ROOT/sys"

hostname emulated-pi
exec chroot "$ROOT" /usr/sbin/sshd -D -e -f /run/board/sshd_config
