#!/bin/bash
# Runs a real Triton Inference Server 2.51.0 on loopback with the net of WEIGHTS as `mlp`. The server is inside the wheel of
# nvidia-pytriton, which is fetched on the first call; of the backends, only the python one is in it.
# Usage: triton.sh WEIGHTS.safetensors PORT      Linux on x86-64 with Debian's own python3.11, which its backend is linked with.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/install.sh"
install triton /usr/bin/python3.11 nvidia-pytriton==0.7.0
site=$venv/lib/python3.11/site-packages; server=$site/pytriton/tritonserver
[ -x "$server/bin/tritonserver" ] || { echo "the wheel of nvidia-pytriton holds no tritonserver" >&2; exit 1; }
backends=$venv/backends
if [ ! -e "$backends/python/triton_python_backend_stub" ]; then
  mkdir -p "$backends/python"; cp -r "$server"/backends/python/* "$backends/python/"
  cp "$server"/python_backend_stubs/3.11/triton_python_backend_stub "$backends/python/"
fi
repository=$(mktemp -d)
"$venv/bin/python" "$here/triton_repository.py" "$1" "$repository"
export VIRTUAL_ENV=$venv PATH=$venv/bin:$PATH PYTHONPATH=$site LD_LIBRARY_PATH=$site/nvidia_pytriton.libs
exec "$server/bin/tritonserver" --model-repository="$repository" --backend-directory="$backends" \
  --http-address=127.0.0.1 --http-port="$2" --allow-grpc=false --allow-metrics=false
