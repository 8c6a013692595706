"""Whether every region has the resource types of the templates, with the schemas that cfn-lint checks.

    regions.py SCHEMAS

SCHEMAS is the folder cfnlint/data/schemas. providers/REGION.json has a hash of the schema of each type in the region. cfn-lint checks the
templates by the schemas of us-east-1, so the check of a region with the same hashes would find the same.
"""

import json
import sys
from pathlib import Path

from expanded import ROOT, deployed

# Types that a condition leaves out.
OPTIONAL = {
    "AWS::Lambda::Url",
    "AWS::Pipes::Pipe",
    "AWS::SES::ConfigurationSet",
    "AWS::SES::ConfigurationSetEventDestination",
}


def types():
    """The types of the templates, each with the first file that has it."""
    found = {}
    for file, template in deployed().items():
        for resource in template["Resources"].values():
            if not resource["Type"].startswith("Custom::"):
                found.setdefault(resource["Type"], file)
    return found


def problems(providers, documented):
    linted = providers["us-east-1"]
    for kind, file in types().items():
        if kind not in linted:
            yield f"{file}: us-east-1 has no {kind}"
        for region, schemas in sorted(providers.items()):
            schema = schemas.get(kind)
            if schema is None and kind not in OPTIONAL:
                yield f"{file}: {region} has no {kind}"
            elif schema is None and region not in documented:
                yield f"docs/operations/deploy.md does not name {region}, which has no {kind}"
            elif schema not in (None, linted.get(kind)):
                yield f"{file}: {region} has another {kind} than us-east-1: lint the templates for this region too"


def main(schemas):
    files = (Path(schemas) / "providers").glob("*-*.json")
    providers = {file.stem: json.loads(file.read_text()) for file in files}
    assert len(providers) > 30, providers.keys()
    found = list(problems(providers, (ROOT / "docs/operations/deploy.md").read_text()))
    if found:
        sys.exit("\n".join(found))
    print(f"  {len(types())} resource types in {len(providers)} regions")


main(*sys.argv[1:])
