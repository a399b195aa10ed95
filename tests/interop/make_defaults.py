"""Writes the defaults of transformers for options that are absent in `config.json`: a table by release and model type.

    /tmp/venv/bin/pip install transformers==4.57.6 && /tmp/venv/bin/python tests/interop/make_defaults.py
    /tmp/venv/bin/pip install transformers==5.24.0 && /tmp/venv/bin/python tests/interop/make_defaults.py

They are the default parameters of each configuration class, and the base of its rotary positions. Each run replaces the defaults of its release.
"""

import inspect
import json
from pathlib import Path

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

TABLE = Path(__file__).resolve().parents[2] / "crates/nn/src/families/defaults.json"
# What a release does not have is left out.
MODEL_TYPES = """albert bart bert big_bird blenderbot blenderbot-small bloom camembert clip clip_text_model
clip_vision_model cohere cohere2 deberta deberta-v2 distilbert electra esm eurobert exaone exaone4 falcon gemma gemma2
gemma3_text gpt2 gpt_bigcode gpt_neo gpt_neox gptj granite gte jina_embeddings_v3 layoutlm llama longt5 m2m_100 marian
mbart mistral modernbert mpnet mpt mt5 nomic_bert olmo olmo2 olmo3 opt pegasus phi phi3 qwen2 qwen3 roberta smollm3 stablelm starcoder2 t5 umt5
vit whisper xlm-roberta""".split()


def defaults(model_type):
    config = CONFIG_MAPPING[model_type]
    parameters = inspect.signature(config.__init__).parameters
    values = {name: parameter.default for name, parameter in parameters.items()}
    # Where it differs between the types of layers, it has the values of 4.57.
    theta = getattr(config, "default_theta", None)
    if "rope_parameters" in values and isinstance(theta, float):
        values["rope_theta"] = theta
    plain = (bool, int, float, str, type(None))
    return {name: value for name, value in sorted(values.items()) if isinstance(value, plain)}


def main():
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    release = ".".join(transformers.__version__.split(".")[:2])
    table[release] = {name: defaults(name) for name in MODEL_TYPES if name in CONFIG_MAPPING}

    def rows(defaults):
        return ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in defaults.items())

    releases = (f"{json.dumps(release)}: {{\n{rows(defaults)}\n}}" for release, defaults in sorted(table.items()))
    TABLE.write_text("{\n" + ",\n".join(releases) + "\n}\n")


main()
