"""Templates as CloudFormation sees them, after the transform of SAM."""

import logging
import os
from pathlib import Path
from types import SimpleNamespace

# The translator asks for a region when it is loaded.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

logging.getLogger("samtranslator").setLevel(logging.CRITICAL)

ROOT = Path(__file__).resolve().parents[2]


def read(file):
    return yaml_parse((ROOT / file).read_text())


def deployed():
    """The templates of a stack and those beside it, by file name: template.yaml and infra/*.yaml."""
    files = ["template.yaml", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "infra").glob("*.yaml"))]
    return {file: expanded(read(file)) for file in files}


def expanded(template, package=lambda name: {"Bucket": "bucket", "Key": f"{name}.zip"}, **parameters):
    """The template without SAM."""
    if "Transform" not in template:
        return template
    template.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
    for name, resource in template["Resources"].items():
        code = resource.get("Properties", {}).get("CodeUri")
        if resource["Type"] == "AWS::Serverless::Function" and not isinstance(code, dict):
            resource.setdefault("Properties", {})["CodeUri"] = package(name)
    values = {name: str(body.get("Default", "https://id.example.com")) for name, body in template["Parameters"].items()}
    return transform(template, values | parameters, SimpleNamespace(load=dict))
