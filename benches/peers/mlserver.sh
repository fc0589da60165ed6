#!/bin/bash
# Runs MLServer on loopback with the net of WEIGHTS as `mlp`, in the server's own process, which is its fastest way.
# Usage: mlserver.sh WEIGHTS.safetensors PORT
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/install.sh"
install mlserver python3 mlserver==1.7.1
folder=$(mktemp -d)
cp "$1" "$folder/mlp.safetensors"; cp "$here/mlserver_mlp.py" "$here/weights.py" "$folder/"
cat > "$folder/settings.json" <<SETTINGS
{"host": "127.0.0.1", "http_port": $2, "grpc_port": $(($2 + 1)), "metrics_port": $(($2 + 2)), "parallel_workers": 0, "debug": false}
SETTINGS
echo '{"name": "mlp", "implementation": "mlserver_mlp.Mlp", "parameters": {"uri": "mlp.safetensors"}}' > "$folder/model-settings.json"
cd "$folder"
PYTHONPATH=$folder exec "$venv/bin/mlserver" start "$folder"
