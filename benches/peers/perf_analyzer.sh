#!/bin/bash
# Runs Triton's perf_analyzer, which is fetched on the first call: the binary is inside a wheel of Triton's client, and the
# CUDA runtime that it is linked with (and does not use here) in a wheel of its own. Linux on x86-64 only.
set -euo pipefail
home=${XDG_CACHE_HOME:-$HOME/.cache}/emberline/perf_analyzer
if [ ! -e "$home/complete" ]; then
  echo "fetching perf_analyzer into $home" >&2
  rm -rf "$home" && mkdir -p "$home/wheels"
  python3 -m pip download --quiet --no-deps --dest "$home/wheels" tritonclient==2.50.0 nvidia-cuda-runtime-cu12==12.6.77
  for wheel in "$home"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$home/wheels"; done
  find "$home/wheels" -name perf_analyzer -type f -exec cp {} "$home/perf_analyzer" \;
  find "$home/wheels" -name 'libcudart.so.12' -exec cp {} "$home/" \;
  chmod +x "$home/perf_analyzer"
  rm -r "$home/wheels"
  touch "$home/complete"
fi
export LD_LIBRARY_PATH=$home${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
missing=$(ldd "$home/perf_analyzer" | sed -n 's/^\s*\(\S*\) => not found$/\1/p' | tr '\n' ' ')
if [ -n "$missing" ]; then
  echo "perf_analyzer needs ${missing}here; on Debian: apt-get install libb64-0d" >&2
  exit 1
fi
exec "$home/perf_analyzer" "$@"
