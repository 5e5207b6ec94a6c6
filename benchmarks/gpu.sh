#!/usr/bin/env bash
# All measurements of docs/gpu.md, on a machine with one NVIDIA GPU and a Python that has torch. Offline if WHEELS is set.
#
#     [WHEELS=folder] [OUT=folder] [NUM_ENVS=64,1024] [CAMERA_ENVS=256] bash benchmarks/gpu.sh [stage ...]
#
# Stages: see benchmarks/gpu.py. NUM_ENVS: of generation, judging and physics; CAMERA_ENVS: of cameras, whose runs write about
# 12 MB per demo to TMPDIR, and the same to their store.
#
# WHEELS contains the wheels of mujoco, mujoco-core, mujoco-warp, warp-lang, hydra-core, omegaconf and of what the machine's
# Python lacks of their dependencies. A wheel may be cut into pieces (split -b 55M -d x.whl x.whl.part), which are joined here.
# Each stage writes OUT/<stage>.json at once, so an interrupted run keeps what it has measured.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${OUT:-gpu_results}
python=${PYTHON:-python3}
mkdir -p "$out"

if [ -n "${WHEELS:-}" ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    for first in "$WHEELS"/*.part00; do
        [ -e "$first" ] && cat "${first%00}"?? > "$site/$(basename "${first%.part00}")"
    done
    find "$WHEELS" -name '*.whl' -exec cp {} "$site" \;
    "$python" -m pip install --quiet --no-index --no-deps --target "$site/packages" "$site"/*.whl
    # The installed layout of this package, without building it.
    cp -r isaaclab_mimic_ext "$site/packages/"
    cp -r tasks "$site/packages/isaaclab_mimic_ext/tasks"
    cp -r conf "$site/packages/isaaclab_mimic_ext/conf"
    export PYTHONPATH="$site/packages:${PYTHONPATH:-}:$PWD"
fi
export MUJOCO_GL=${MUJOCO_GL:-disable}

measure() { "$python" benchmarks/gpu.py "$@" --out "$out" || echo "failed: $*" >&2; }
test_contract() { "$python" -P -m pytest -q -o pythonpath= -p no:cacheprovider -n 0 tests/contract/test_engines.py -k cuda; }

# Since the measurements of docs/gpu.md: `waits` and `judging` show what later judgement saves; `generation` renews the table;
# `cameras` measures runs with pictures, which draw on the GPU now.
for stage in ${@:-machine contract waits judging generation physics rates digests profile cameras}; do
    case $stage in
        contract) test_contract | tee "$out/contract.txt" || true ;;
        generation | judging | physics) measure "$stage" --num-envs "${NUM_ENVS:-64,256,1024,2048,4096,8192}" ;;
        cameras) measure "$stage" --num-envs "${CAMERA_ENVS:-256,512,1024,2048}" ;;
        *) measure "$stage" ;;
    esac
done
