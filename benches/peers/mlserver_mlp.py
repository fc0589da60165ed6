"""The dense net for MLServer."""
import os

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

import weights


class Mlp(MLModel):
    async def load(self):
        self.tensors = weights.read(os.path.join(os.path.dirname(__file__), "mlp.safetensors"))
        return True

    async def predict(self, payload):
        x = NumpyCodec.decode_input(payload.inputs[0])
        y = weights.mlp(self.tensors, x).astype("f4")
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)])
