"""Writes the defaults of transformers for options that are absent in `config.json`: a table by model type.

    /tmp/venv/bin/pip install transformers==4.57.6
    /tmp/venv/bin/python tests/interop/make_defaults.py

They are the default parameters of each configuration class; None is left out.
"""

import inspect
import json
from pathlib import Path

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

TABLE = Path(__file__).resolve().parents[2] / "crates/nn/src/families/defaults.json"
MODEL_TYPES = """bart bert camembert clip clip_text_model clip_vision_model distilbert electra gemma2 gpt2 gpt_neox llama
m2m_100 marian mistral phi3 qwen2 qwen3 roberta t5 vit whisper xlm-roberta""".split()


def defaults(model_type):
    parameters = inspect.signature(CONFIG_MAPPING[model_type].__init__).parameters
    values = {name: parameter.default for name, parameter in parameters.items()}
    plain = (bool, int, float, str)
    return {name: value for name, value in sorted(values.items()) if isinstance(value, plain)}


def main():
    table = {model_type: defaults(model_type) for model_type in MODEL_TYPES}
    rows = (f"{json.dumps(model_type)}: {json.dumps(values)}" for model_type, values in table.items())
    TABLE.write_text("{\n" + ",\n".join(rows) + "\n}\n")


main()
