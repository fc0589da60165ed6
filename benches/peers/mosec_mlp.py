"""The dense net for mosec: requests and answers are those of the Open Inference Protocol, in JSON, at /inference."""
import os
import sys

import numpy as np
import orjson
from mosec import Server, Worker

sys.path.insert(0, os.path.dirname(__file__))
import weights


class Mlp(Worker):
    def __init__(self):
        super().__init__()
        self.tensors = weights.read(os.environ["WEIGHTS"])

    def deserialize(self, data):
        return orjson.loads(data)

    def serialize(self, data):
        return orjson.dumps(data)

    def forward(self, requests):
        x = np.array([request["inputs"][0]["data"] for request in requests], dtype="f4")
        y = weights.mlp(self.tensors, x).tolist()
        output = {"name": "y", "datatype": "FP32", "shape": [1, 1]}
        return [{"model_name": "mlp", "outputs": [output | {"data": row}]} for row in y]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Mlp, max_batch_size=128, max_wait_time=1)
    server.run()
