#!/bin/bash
# Times JAX training the nets of the training figures; see training_jax.py.
# Usage: training.sh < requests
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/install.sh"
install training python3 jax==0.10.2 jaxlib==0.10.2 optax==0.2.8
exec "$venv/bin/python" "$here/training_jax.py"
