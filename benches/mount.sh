#!/usr/bin/env bash
# Small files on a mounted cluster of this machine, beside the local disk and beside the least that a FUSE
# file system can be. Needs root and /dev/fuse. Prints `name value unit` lines; the comparison is what
# counts, the numbers are this machine's.
#
#     benches/mount.sh [FILES]          10,000 files if not given
set -euo pipefail
cd "$(dirname "$0")/.."
files=${1:-10000}

[ "$(id -u)" = 0 ] || { echo 'mount.sh: root mounts; run it as root' >&2; exit 1; }
[ -e /dev/fuse ] || { echo 'mount.sh: there is no /dev/fuse' >&2; exit 1; }

cargo build --quiet --release --package mooseng --package mooseng-benches --bins
target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release
work=$(mktemp -d)
running=()

finish() {
    for process in "${running[@]}"; do kill "$process" 2>/dev/null || true; done
    for process in "${running[@]}"; do wait "$process" 2>/dev/null || true; done
    umount --lazy "$work/cluster" "$work/memory" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

wait_for_mount() {
    for _ in $(seq 200); do
        mountpoint --quiet "$1" && return
        sleep 0.1
    done
    echo "mount.sh: $1 was never mounted" >&2
    exit 1
}

measure() {
    "$target/files" "$2" "$files" | sed "s/^/$1_/"
}

mkdir "$work/cluster" "$work/memory" "$work/disk"
"$target/mooseng" up --port 9741 --data "$work/data" --mount "$work/cluster" >"$work/up.log" &
running+=($!)
"$target/memory_mount" "$work/memory" &
running+=($!)
wait_for_mount "$work/cluster"
wait_for_mount "$work/memory"

measure mooseng "$work/cluster"
measure memory_fuse "$work/memory"
measure local_disk "$work/disk"
