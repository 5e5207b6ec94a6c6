#!/bin/bash
# Build docker/Dockerfile.cpu, run it without a network and with a read-only root, and compare its dataset with a native run:
#   docker/test_image.sh <mimic>
# Programs of Debian: apt-get install buildah podman mmdebstrap. Variables:
#   BASE_IMAGE         base image of a registry; by default, mmdebstrap makes a base from Debian's packages
#   IMAGE_BUILD_FLAGS  further flags of `buildah build`, such as -v for a local package index and its pip.conf
set -euo pipefail

mimic="$(realpath "${1:?give the program mimic}")"
image=localhost/isaaclab-mimic-ext:cpu
settings=(task=desktop_organizer sim=mujoco num_envs=5 num_trials=5 progress=false)
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

if [ -z "${BASE_IMAGE:-}" ]; then
    BASE_IMAGE=localhost/mimic-base
    if ! buildah inspect --type image "$BASE_IMAGE" > /dev/null 2>&1; then
        mmdebstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$work/base.tar"
        printf 'FROM scratch\nADD base.tar /\n' > "$work/Dockerfile"
        buildah build --isolation chroot --tag "$BASE_IMAGE" "$work"
    fi
fi
SECONDS=0
# shellcheck disable=SC2086
buildah build --isolation chroot --network host --layers --build-arg BASE_IMAGE="$BASE_IMAGE" ${IMAGE_BUILD_FLAGS:-} \
    --file docker/Dockerfile.cpu --tag "$image" .
echo "Built $image in $SECONDS s: $(podman image inspect --format '{{.Size}}' "$image") bytes"

# With cgroups of versions 1 and 2 at the same time, which podman's runtime refuses, it sees version 1.
run() {
    local hidden=()
    mountpoint --quiet /sys/fs/cgroup/unified && hidden=(unshare --mount sh -c 'umount /sys/fs/cgroup/unified; exec "$@"' sh)
    "${hidden[@]}" podman run --rm --cgroups=disabled --network=none --ulimit nofile=10000:10000 --ulimit nproc=10000:10000 \
        --read-only --tmpfs /tmp "$@"
}
mkdir "$work/out" && chgrp 0 "$work/out" && chmod 0775 "$work/out"
run --volume "$work/out:/work/datasets" "$image" generate "${settings[@]}" output_dir=datasets/run
test -s "$work/out/run/playback.mp4"
"$mimic" generate "${settings[@]}" video=false output_dir="$work/native"
digest() { "$mimic" inspect input_file="$1" digest=true json=true | python3 -c 'import json, sys; print(json.load(sys.stdin)["digest"])'; }
in_image="$(digest "$work/out/run/demo.hdf5")" native="$(digest "$work/native/demo.hdf5")"
echo "Digest in the image: $in_image, native: $native"
test "$in_image" = "$native"
