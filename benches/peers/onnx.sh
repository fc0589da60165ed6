#!/bin/bash
# Writes the net of WEIGHTS as an ONNX model and tells the path of ONNX Runtime's shared library.
# Usage: onnx.sh WEIGHTS.safetensors MODEL.onnx
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/install.sh"
install onnx python3 onnxruntime==1.32.0 onnx==1.23.2
"$venv/bin/python" "$here/onnx_mlp.py" "$1" "$2" >&2
find "$venv" -name 'libonnxruntime.so.*' -type f | head -1
