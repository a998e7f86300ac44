#!/usr/bin/env bash
# What programs feel of a mounted cluster. Needs root (it empties caches) and, to mount, /dev/fuse.
#
#     benches/mount.sh MOUNTPOINT [--quick]     `name value unit` lines of what is mounted there
#     benches/mount.sh [--quick]                a cluster on this machine, the least that a FUSE file system
#                                               can be, and the local disk, one after the other, and a table
#
# What counts is the comparison; the numbers are this machine's.
set -euo pipefail
cd "$(dirname "$0")/.."

complain() {
    echo "mount.sh: $1" >&2
    exit 1
}

mountpoint=
quick=()
for argument in "$@"; do
    case $argument in
    --quick) quick=(--quick) ;;
    -*) complain "$argument: only --quick is known" ;;
    *) mountpoint=$argument ;;
    esac
done
[ -z "$mountpoint" ] || [ -d "$mountpoint" ] || complain "$mountpoint: there is no such directory"
[ "$(id -u)" = 0 ] || complain 'only root can empty the caches; run it as root'

cargo build --quiet --release --package mooseng --package mooseng-benches --bins
target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release

if [ -n "$mountpoint" ]; then
    exec "$target/measure" "$mountpoint" "${quick[@]}"
fi

[ -e /dev/fuse ] || complain 'there is no /dev/fuse'
work=$(mktemp -d)
running=

finish() {
    [ -z "$running" ] || kill "$running" 2>/dev/null || true
    [ -z "$running" ] || wait "$running" 2>/dev/null || true
    umount --lazy "$work"/mount-* 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# NAME COMMAND…: measures what the command mounts at $work/mount-NAME.
measure() {
    local name=$1
    shift
    mkdir -p "$work/mount-$name"
    if [ $# -gt 0 ]; then
        "$@" >"$work/$name.log" 2>&1 &
        running=$!
        for _ in $(seq 300); do
            mountpoint --quiet "$work/mount-$name" && break
            sleep 0.1
        done
        mountpoint --quiet "$work/mount-$name" || { cat "$work/$name.log" >&2; complain "$name: never mounted"; }
    fi
    "$target/measure" "$work/mount-$name" "${quick[@]}" >"$work/$name.figures"
    if [ -n "$running" ]; then
        kill "$running"
        wait "$running" || true
        umount --lazy "$work/mount-$name" 2>/dev/null || true
        running=
    fi
}

measure disk
measure memory "$target/memory_mount" "$work/mount-memory"
measure cluster "$target/mooseng" up --port 9741 --data "$work/data" --mount "$work/mount-cluster"

echo '| what | unit | cluster | memory FUSE | ratio | local disk | ratio |'
echo '|---|---|---|---|---|---|---|'
# Times are better when small, rates when large: a ratio says how much of the other it reaches.
paste -d ' ' "$work/cluster.figures" "$work/memory.figures" "$work/disk.figures" | awk '{
    time = ($3 == "s" || $3 == "us")
    memory = time ? $5 / $2 : $2 / $5
    disk = time ? $8 / $2 : $2 / $8
    printf "| %s | %s | %s | %s | %.2f | %s | %.2f |\n", $1, $3, $2, $5, memory, $8, disk
}'
