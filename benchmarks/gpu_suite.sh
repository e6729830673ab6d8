#!/usr/bin/env bash
# Everything that needs a GPU: builds with CUDA on, tries every algorithm, tests, sanitizers, probes,
# the benchmark against cuDNN, calibrations and whole networks, energy, the population benchmark.
#
#     benchmarks/gpu_suite.sh OUT [STEP...]
#
# The steps, in this order, or those that are named:
#     missing build cubins smoke probe conv tests memcheck     what is there, and whether it is right
#     native repeat energy population racecheck initcheck      the cuda backend
#     torch graphs                                             the torch backend
#
# OUT gets steps.csv, log.txt, without.txt, probe.json, conv.csv, conv.png, repeat.json, energy.json
# and calibrations/; all of it as it comes, and what is there of an earlier call stays. A step that
# fails is recorded and the next is run; exit status 1 where one did. Algorithms that `smoke` finds
# wrong are left out by all later steps. Needs no network: what is missing is named first.
#
#     CALIBRATE_S   seconds of a campaign (60; of `graphs` half of it)
#     NETWORKS_S    seconds of whole networks after it (30)
#     LIMIT_S       seconds of all steps together (540)
#     BUILD_S       seconds of the build (240), which takes minutes on few cores
#     SITE          folder for the built package, which later calls find there (else temporary)
#     PACK          a .tgz of all that is in OUT, made anew after every step (else none)
set -uo pipefail
out=${1:?usage: gpu_suite.sh OUT [STEP...]}
shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
python=${PYTHON:-python3}
limit=${LIMIT_S:-540}
known=" missing build cubins smoke probe conv tests memcheck native repeat energy population
  racecheck initcheck torch graphs "
for each in "$@"; do
  [[ $known =~ [[:space:]]$each[[:space:]] ]] || { echo "no step $each; there are$known"; exit 1; }
done
pack=${PACK:+$(realpath -m "$PACK")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
site=${SITE:-$work/site}
mkdir -p "$site"
site=$(cd "$site" && pwd)
cd "$(dirname "$0")/.." || exit 1
export PATH="$PATH:/usr/local/cuda/bin" # where a toolkit lies that nobody has put on the path
export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
export XDG_CACHE_HOME=${XDG_CACHE_HOME:-$site/cache} # cubins stay with the package
[[ -s $out/steps.csv ]] || echo "step,status,seconds,budget_s" >"$out/steps.csv"
wanted=" $* "
failures=0
started=$SECONDS

# step NAME BUDGET COMMAND...: never beyond what is left of all together. A command is one of the
# functions below, in a shell of its own, or a program.
step() {
  local name=$1 budget=$2 left=$((limit - (SECONDS - started))) begin=$SECONDS status
  shift 2
  # Else a shell goes on with what comes next where a program ends upon Ctrl-C in an order of its own.
  [[ $(type -t "$1") == function ]] && set -- bash -c 'trap "exit 130" INT; "$@"' bash "$@"
  [[ $wanted == "  " || $wanted == *" $name "* ]] || return 0
  ((budget < left)) || budget=$left
  if ((budget < 5)); then
    status="no time left"
  else
    echo "== $name" | tee -a "$out/log.txt"
    [[ -s $out/without.txt ]] && export ALPHAFLOPS_CUDA_WITHOUT=$(<"$out/without.txt")
    # As Ctrl-C does, upon which Python says where it was and pytest what has failed so far.
    timeout -s INT -k 10 "$budget" "$@" 2>&1 | tee -a "$out/log.txt"
    case ${PIPESTATUS[0]} in
      0) status=ok ;;
      124 | 137) status="out of time" ;;
      *) status=failed ;;
    esac
  fi
  [[ $status == ok ]] || failures=$((failures + 1))
  echo "$name,$status,$((SECONDS - begin)),$budget" | tee -a "$out/steps.csv"
  pack
}

pack() {
  [[ -n $pack ]] || return 0
  tar --exclude="./${pack##*/}*" -czf "$pack.part" -C "$out" . && mv -f "$pack.part" "$pack"
}

missing() {
  local lacks=()
  for tool in nvidia-smi nvcc "${CXX:-c++}" cmake ninja compute-sanitizer; do
    command -v "$tool" >/dev/null || lacks+=("$tool")
  done
  "$python" -c "import os, sys, sysconfig
sys.exit(not os.path.exists(sysconfig.get_path('include') + '/Python.h'))" ||
    lacks+=("Python.h: the headers of $("$python" -V)")
  for module in pip cupy torch scikit_build_core pybind11 numpy scipy sklearn pytest typer rich \
    threadpoolctl matplotlib pynvml; do
    "$python" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$module') is None)" ||
      lacks+=("python: $module")
  done
  "$python" -c "import pybind11, sys; sys.exit(int(pybind11.__version__.split('.')[0]) < 3)" ||
    lacks+=("python: pybind11 3 or later")
  "$python" - <<'SAY'
import platform
from importlib import metadata
found = {each.metadata["Name"]: each.version for each in metadata.distributions()}
wanted = ("torch", "cupy-cuda13x", "cupy-cuda12x", "numpy", "pybind11", "nvidia-ml-py")
print("Python", platform.python_version(), *(f"{n} {found[n]}" for n in wanted if n in found))
SAY
  nvidia-smi --query-gpu=name,driver_version,compute_cap,clocks.sm,temperature.gpu,power.draw \
    --format=csv,noheader || lacks+=("a GPU: nvidia-smi names none")
  ((${#lacks[@]} == 0)) && return 0
  printf 'missing: %s\n' "${lacks[@]}"
  return 1
}

sources() {
  find CMakeLists.txt pyproject.toml cmake cpp cuda python -type f ! -name '*.pyc' -print0 |
    sort -z | xargs -0 sha256sum | sha256sum
}

build() {
  local arch hash
  hash=$(sources)
  if [[ -f $site/built && $(<"$site/built") == "$hash" ]]; then
    echo "the package is in $site already"
    return 0
  fi
  arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d '. ')
  [[ -n $arch ]] || { echo "missing: a GPU (nvidia-smi names none)"; return 1; }
  [[ $arch == 90 ]] && arch=90a
  local install=("$python" -m pip install --quiet --no-build-isolation --no-deps --no-index --upgrade
    --target "$site" -C "build-dir=$work/build"
    -C "cmake.define.pybind11_DIR=$("$python" -m pybind11 --cmakedir)") # wherever it lies
  "${install[@]}" -C cmake.define.ALPHAFLOPS_CUDA=ON \
    -C "cmake.define.ALPHAFLOPS_CUDA_ARCHITECTURES=$arch" . &&
    "$python" -c "from alphaflops import _cuda; print(_cuda.HEADERS)" &&
    echo "$hash" >"$site/built" && return 0
  echo "the native path did not build: what follows uses CuPy"
  "${install[@]}" -C cmake.define.ALPHAFLOPS_CUDA=OFF .
  return 1
}

# The kernels of CuPy's path, which would be compiled one after the other when first used.
cubins() {
  "$python" -c '
import os
from concurrent.futures import ProcessPoolExecutor as Pool
from functools import partial
from alphaflops.cuda import cubins, headers, open_driver
arch = open_driver().info().arch
with Pool(min(16, os.cpu_count()), __import__("multiprocessing").get_context("spawn")) as pool:
    made = list(pool.map(partial(cubins.cubin_of, arch=arch), headers.entry_headers()))
print(len(made), "headers")'
}

# Where all is skipped, nothing was tested. A test that hangs says where.
tests() {
  "$python" -m pytest -v -W default -p no:cacheprovider -o faulthandler_timeout=45 \
    --maxfail=20 tests/gpu | tee -i "$work/tests"
  [[ ${PIPESTATUS[0]} == 0 ]] && grep -q passed "$work/tests"
}

# Five shapes have every family of convolutions among them.
sanitize() {
  ALPHAFLOPS_TEST_SHAPES=5 compute-sanitizer --tool "$1" --error-exitcode 9 \
    --target-processes all "$python" -m pytest -v -W default -p no:cacheprovider \
    tests/gpu/test_conv_on_gpu.py tests/gpu/test_sequences_on_gpu.py \
    -k "native and (forward or sequences)" | tee -i "$work/tests"
  [[ ${PIPESTATUS[0]} == 0 ]] && grep -q passed "$work/tests"
}

probe() {
  "$python" -m alphaflops probe --backend cuda --budget 4 --json >"$work/probe.json" &&
    mv "$work/probe.json" "$out/probe.json" && cat "$out/probe.json"
}

# The profile with which networks are priced beside; any will do for what they draw.
energy() {
  local profile=$out/calibrations/cuda-fp16.json
  [[ -s $profile ]] || { echo "missing: $profile, of the step native"; return 1; }
  "$python" -m alphaflops validate resnet50 mobilenet_v2 vgg16 -d "$profile" --batch 16 --budget 3 \
    --energy --json >"$work/energy.json" && mv "$work/energy.json" "$out/energy.json" &&
    cat "$out/energy.json"
}

population() {
  "$python" benchmarks/nas.py gpu | tee -i "$work/population"
  [[ ${PIPESTATUS[0]} == 0 ]] && ! grep -q "Not measured" "$work/population"
}

# In processes of their own: a fault that stays in one must not spoil the next.
calibrate() {
  local budget=$1 name worst=0
  shift
  for name in "$@"; do
    "$python" benchmarks/gpu_calibrations.py --budget "$budget" --networks "${NETWORKS_S:-30}" \
      --out "$out/calibrations" "$name" || worst=1
  done
  return $worst
}

export -f missing sources build cubins tests sanitize probe energy population calibrate
export python out work site
seconds=${CALIBRATE_S:-60}
three=$((3 * (seconds + ${NETWORKS_S:-30} + 30)))
step missing 30 missing
step build "${BUILD_S:-240}" build
step cubins 90 cubins
step smoke 90 "$python" benchmarks/gpu_smoke.py --out "$out/without.txt"
step probe 30 probe
step conv 130 "$python" benchmarks/gpu_conv.py --budget 110 --csv "$out/conv.csv" \
  --plot "$out/conv.png" --peaks "$out/probe.json"
step tests 180 tests
step memcheck 60 sanitize memcheck
step native "$three" calibrate $seconds cuda-fp16 cuda-fp32 cuda-tf32
step repeat 90 "$python" benchmarks/gpu_repeat.py --json "$out/repeat.json"
step energy 40 energy
step population 40 population
step racecheck 60 sanitize racecheck
step initcheck 60 sanitize initcheck
step torch "$three" calibrate $seconds torch-fp32 torch-tf32 torch-fp16
step graphs "$three" calibrate $((seconds / 2)) torch-fp16-graph torch-fp32-graph torch-tf32-graph
"$python" benchmarks/gpu_report.py "$out" | tee -a "$out/log.txt"
echo "$failures steps did not succeed; $((SECONDS - started)) s in all" | tee -a "$out/log.txt"
pack
((failures == 0))
