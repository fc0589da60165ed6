#!/bin/bash
# Trains LightGBM with the published tuned settings on one split; see quality_lightgbm.py.
# Usage: quality.sh TRAINING.csv TEST.csv TARGET regression|binary TABLE SEED
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/install.sh"
install trees python3 lightgbm==4.7.0 xgboost-cpu==3.2.0 onnxruntime==1.32.0 onnx==1.23.2 skl2onnx==1.20.0 \
  onnxmltools==1.16.0 lleaves==1.3.0 'llvmlite<0.45' scikit-learn==1.9.1 pandas
exec "$venv/bin/python" "$here/quality_lightgbm.py" "$@"
