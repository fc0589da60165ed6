#!/bin/bash
# Runs mosec (a prediction server with a core in Rust and models in Python) on loopback with the net of WEIGHTS.
# Usage: mosec.sh WEIGHTS.safetensors PORT
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/install.sh"
install mosec python3 mosec==0.9.8 numpy==2.3.5 orjson==3.11.4
WEIGHTS=$1 exec "$venv/bin/python" "$here/mosec_mlp.py" --address 127.0.0.1 --port "$2"
