"""Whether CloudFormation gets the parameters that the stages and the documentation mean.

SAM's own parser reads the lists of infra/samconfig.toml with their commented examples, and each example of the documentation. A value that
it cuts or rejects is an error, as is one that the template does not accept. It runs with the Python of the SAM CLI.
"""

import re
import shlex
import sys
import tomllib
from pathlib import Path

import yaml
from samcli.cli.types import CfnParameterOverridesType

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


class Loader(yaml.SafeLoader):
    """Reads the short forms of CloudFormation as nothing."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def lists(text):
    """The lists `parameter_overrides` of a TOML text, each once as it is and once with its commented examples."""
    examples = re.sub(r"^( *)# (?=[\"'])", r"\1", text, flags=re.MULTILINE)
    for variant in (text, examples):
        for table in tables(tomllib.loads(variant)):
            yield table["parameter_overrides"]


def tables(value):
    if isinstance(value, dict):
        if "parameter_overrides" in value:
            yield value
        for member in value.values():
            yield from tables(member)


def commands(text):
    """The arguments of --parameter-overrides in the commands of SAM."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.lstrip().startswith("sam ") and "--parameter-overrides" in line:
            words = shlex.split(line, comments=True)
            given = words[words.index("--parameter-overrides") + 1 :]
            # The shell reads the value of another file.
            yield [word for word in given if re.match(r"[A-Z]\w*=", word) and "$(" not in word]


def found():
    yield "infra/samconfig.toml", lists((ROOT / "infra/samconfig.toml").read_text())
    for path in sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "infra").rglob("*.md")]):
        for language, text in FENCE.findall(path.read_text()):
            if language == "toml" and "parameter_overrides" in text:
                yield str(path.relative_to(ROOT)), lists(text)
            if language in ("sh", "text"):
                yield str(path.relative_to(ROOT)), commands(text)


def meant(pair):
    """Name and value of NAME=VALUE, without the second quotes."""
    name, value = pair.strip().split("=", 1)
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return name, value


def problems(parameters, pairs):
    expected = dict(map(meant, pairs))
    try:
        parsed = CfnParameterOverridesType().convert(list(pairs), None, None)
    except Exception as error:
        return [f"{pairs}: {error}"]
    wrong = [f"{name}: {value!r} becomes {parsed.get(name)!r}" for name, value in expected.items() if parsed.get(name) != value]
    for name, value in parsed.items():
        if name not in parameters:
            wrong.append(f"there is no parameter {name}")
        elif name != "ProxySecret" and not re.search(parameters[name].get("AllowedPattern", ""), value):
            wrong.append(f"{name} may not be {value!r}")
    return wrong


def main():
    parameters = yaml.load((ROOT / "template.yaml").read_text(), Loader)["Parameters"]
    # A value that SAM cuts must be found.
    assert problems({"ContextClaims": {}}, ["ContextClaims=jti exp"]) and problems({"RevocationsUrl": {}}, ["RevocationsUrl="])
    count, wrong = 0, []
    for place, examples in found():
        for pairs in examples:
            count += len(pairs)
            wrong += [f"{place}: {problem}" for problem in problems(parameters, pairs)]
    if wrong or count < 20:
        raise SystemExit("\n".join([f"{count} parameters:", *wrong]))
    print(f"SAM reads {count} documented parameters as they are meant")


if __name__ == "__main__":
    sys.exit(main())
