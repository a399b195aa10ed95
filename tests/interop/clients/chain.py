"""Runs models in bare runtimes, which know nothing of decoders: the passes over a text, each with the past of the one before.

A request has the form that runtimes.rs describes. A runtime is a command that reads a request and prints the answer.
"""

import json
import subprocess

import numpy as np
import onnx

TYPES = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.FLOAT16: "float16", onnx.TensorProto.INT64: "int64", onnx.TensorProto.BOOL: "bool"}


class Model:
    """The inputs and outputs of a file."""

    def __init__(self, path):
        graph = onnx.load(path, load_external_data=False).graph
        self.path = str(path)
        self.inputs = {port.name: port.type.tensor_type for port in graph.input}
        self.outputs = [port.name for port in graph.output]


def array(values, port):
    """Returns an array of the type that an input has."""
    values = np.asarray(values)
    return {"type": TYPES[port.elem_type], "dims": list(values.shape), "data": values.astype(float).flatten().tolist()}


class Chain:
    """Passes, which are requested together."""

    def __init__(self):
        self.passes, self.presents = [], {}

    def add(self, model, values, keep=()):
        """Adds a pass; what `values` do not have comes from earlier passes."""
        inputs, batch = {}, len(next(iter(values.values())))
        values = {name: value for name, value in values.items() if name in model.inputs}
        for name, port in model.inputs.items():
            present = self.presents.get(name.replace("past_key_values", "present"))
            if name in values:
                inputs[name] = array(values[name], port)
            elif present is not None:
                inputs[name] = present
            else:
                assert name.startswith("past_key_values"), f"no value for {name}"
                sizes = [dim.dim_value for dim in port.shape.dim]
                inputs[name] = array(np.zeros([batch, *sizes[1:]]), port)
        at = len(self.passes)
        self.passes.append({"model": model.path, "inputs": inputs, "keep": list(keep)})
        known = [name for name in model.outputs if name.startswith("present")]
        self.presents |= {name: {"pass": at, "output": name} for name in known}
        return at

    def run(self, command):
        """Returns the outputs of each pass that are kept."""
        done = subprocess.run(command, input=json.dumps(self.passes), capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
            raise RuntimeError(" ".join(lines[-3:])[-300:] or f"exit code {done.returncode}")
        answer = json.loads(done.stdout.splitlines()[-1])
        return [{name: np.array(value["data"]).reshape(value["dims"]) for name, value in step.items()} for step in answer]


def encoder(path, values, names):
    model, chain = Model(path), Chain()
    chain.add(model, values, names)
    return lambda command: chain.run(command)[0]


def decoder(path, text, mask, prompt):
    """Passes of a decoder: the prompt, and each token that follows. `mask` has the padding of the prompt."""
    model, chain = Model(path), Chain()
    mask = np.concatenate([mask, np.ones((len(text), text.shape[1] - prompt), int)], 1)
    positions = np.maximum(mask.cumsum(1) - 1, 0)
    for first, last in [(0, prompt)] + [(at, at + 1) for at in range(prompt, text.shape[1])]:
        values = {"input_ids": text[:, first:last], "attention_mask": mask[:, :last], "position_ids": positions[:, first:last]}
        chain.add(model, values, ["logits"])
    return lambda command: {"logits": np.concatenate([step["logits"] for step in chain.run(command)], 1)}


def encoder_decoder(folder, values, text):
    """Passes of an encoder-decoder in three files: the encoder, the first token, and each token that follows."""
    parts, chain = [Model(folder / f"{name}.onnx") for name in ("encoder_model", "decoder_model", "decoder_with_past_model")], Chain()
    states = {"pass": chain.add(parts[0], values), "output": "last_hidden_state"}
    chain.presents["encoder_hidden_states"] = states
    for at in range(text.shape[1]):
        own = {"decoder_input_ids": text[:, at : at + 1], "input_ids": text[:, at : at + 1]}
        if "attention_mask" in values:
            own["encoder_attention_mask"] = values["attention_mask"]
        chain.add(parts[1 if at == 0 else 2], own, ["logits"])
    return lambda command: {"logits": np.concatenate([step["logits"] for step in chain.run(command)[1:]], 1)}
