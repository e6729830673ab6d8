#!/usr/bin/env bash
# Everything that needs a GPU, within 9 minutes: builds with CUDA on, tests, sanitizers, probes, the
# benchmark against cuDNN, calibrations and whole networks, the population benchmark.
#
#     benchmarks/gpu_suite.sh OUT [STEP...]
#
# Results go to OUT: steps.csv, log.txt, probe.json, conv.csv, conv.png, calibrations.json. A step
# that fails is recorded and the next is run; exit status 1 where one did. CALIBRATE_S (30) is the
# budget of each of five calibrations. Needs no network: what is missing is named first.
set -uo pipefail
out=${1:?usage: gpu_suite.sh OUT [STEP...]}
shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH="$PATH:/usr/local/cuda/bin" # where a toolkit lies that nobody has put on the path
export PYTHONPATH="$work/site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
: >"$out/log.txt"
echo "step,status,seconds,budget_s" >"$out/steps.csv"
wanted=" $* "
failures=0
started=$SECONDS

# step NAME BUDGET COMMAND...: never beyond the 9 minutes of all together.
step() {
  local name=$1 budget=$2 left=$((530 - (SECONDS - started))) begin=$SECONDS status
  shift 2
  [[ $wanted == "  " || $wanted == *" $name "* ]] || return 0
  ((budget < left)) || budget=$left
  if ((budget < 5)); then
    status="no time left"
  else
    echo "== $name" | tee -a "$out/log.txt"
    timeout -k 5 "$budget" "$@" >"$work/said" 2>&1
    case $? in
      0) status=ok ;;
      124 | 137) status="out of time" ;;
      *) status=failed ;;
    esac
    cat "$work/said" >>"$out/log.txt"
    tail -n 12 "$work/said"
  fi
  [[ $status == ok ]] || failures=$((failures + 1))
  echo "$name,$status,$((SECONDS - begin)),$budget" | tee -a "$out/steps.csv"
}

missing() {
  local lacks=()
  for tool in nvidia-smi nvcc cmake ninja compute-sanitizer; do
    command -v "$tool" >/dev/null || lacks+=("$tool")
  done
  for module in cupy torch scikit_build_core pybind11 numpy scipy sklearn pytest typer rich \
    threadpoolctl matplotlib pynvml; do
    "$python" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$module') is None)" ||
      lacks+=("python: $module")
  done
  nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader || true
  ((${#lacks[@]} == 0)) && return 0
  printf 'missing: %s\n' "${lacks[@]}"
  return 1
}

build() {
  local arch
  arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d '. ')
  [[ -n $arch ]] || { echo "missing: a GPU (nvidia-smi names none)"; return 1; }
  [[ $arch == 90 ]] && arch=90a
  local install=("$python" -m pip install --quiet --no-build-isolation --no-deps --no-index --upgrade
    --target "$work/site" -C "build-dir=$work/build")
  "${install[@]}" -C cmake.define.ALPHAFLOPS_CUDA=ON \
    -C "cmake.define.ALPHAFLOPS_CUDA_ARCHITECTURES=$arch" . &&
    "$python" -c "from alphaflops import _cuda; print(_cuda.HEADERS)" && return 0
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

# Where all is skipped, nothing was tested.
tests() {
  "$python" -m pytest -q -W default -p no:cacheprovider tests/gpu --maxfail=20 | tee "$work/tests"
  [[ ${PIPESTATUS[0]} == 0 ]] && grep -q passed "$work/tests"
}

sanitize() {
  ALPHAFLOPS_TEST_SHAPES=1 compute-sanitizer --tool "$1" --error-exitcode 9 \
    --target-processes all "$python" -m pytest -q -W default -p no:cacheprovider \
    tests/gpu/test_conv_on_gpu.py -k "native and forward" | tee "$work/tests"
  [[ ${PIPESTATUS[0]} == 0 ]] && grep -q passed "$work/tests"
}

probe() {
  "$python" -m alphaflops probe --backend cuda --budget 4 --json >"$out/probe.json" &&
    cat "$out/probe.json"
}

population() {
  "$python" benchmarks/nas.py gpu | tee "$work/population" && ! grep -q "Not measured" "$work/population"
}

export -f missing build cubins tests sanitize probe population
export python out work
step missing 30 bash -c missing
step build 200 bash -c build
step cubins 60 bash -c cubins
step tests 90 bash -c tests
step memcheck 35 bash -c 'sanitize memcheck'
step racecheck 35 bash -c 'sanitize racecheck'
step initcheck 35 bash -c 'sanitize initcheck'
step probe 20 bash -c probe
step conv 70 "$python" benchmarks/gpu_conv.py --budget 50 --csv "$out/conv.csv" --plot "$out/conv.png"
step calibrations 300 "$python" benchmarks/gpu_calibrations.py --budget "${CALIBRATE_S:-30}" \
  --json "$out/calibrations.json"
step population 20 bash -c population
echo "$failures steps did not succeed; $((SECONDS - started)) s in all" | tee -a "$out/log.txt"
((failures == 0))
