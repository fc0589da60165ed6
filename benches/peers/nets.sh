#!/bin/bash
# Makes nets and times ONNX Runtime on them, on request; see nets_peers.py.
# Usage: nets.sh FOLDER < requests
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/install.sh"
install nets python3 onnxruntime==1.32.0 onnx==1.23.2 numpy
exec "$venv/bin/python" "$here/nets_peers.py" "$1"
