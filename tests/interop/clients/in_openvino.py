"""Runs models in OpenVINO: in_openvino.py < REQUEST.json. The request and the answer are those of runtimes.rs.

The environment has openvino and numpy. Models compute in f32, whatever the processor prefers.
"""

import json
import sys

import numpy as np
import openvino


def main():
    core, loaded, done, answer = openvino.Core(), {}, [], []
    for step in json.load(sys.stdin):
        if step["model"] not in loaded:
            loaded[step["model"]] = core.compile_model(step["model"], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        inputs = {}
        for name, array in step["inputs"].items():
            is_earlier = "pass" in array
            inputs[name] = done[array["pass"]][array["output"]] if is_earlier else np.array(array["data"], array["type"]).reshape(array["dims"])
        results = loaded[step["model"]](inputs)
        done.append({name: np.array(value) for output, value in results.items() for name in output.names})
        kept = {name: done[-1][name] for name in step["keep"]}
        answer.append({name: {"dims": value.shape, "data": value.astype(float).flatten().tolist()} for name, value in kept.items()})
    print(json.dumps(answer))


main()
