"""Whether every region has the resource types of the templates, with the schemas that cfn-lint checks.

    regions.py SCHEMAS

SCHEMAS is the folder cfnlint/data/schemas. providers/REGION.json has a hash of the schema of each type in the region. cfn-lint checks the
templates by the schemas of us-east-1, so the check of a region with the same hashes would find the same.
"""

import json
import re
import sys
from pathlib import Path

from expanded import ROOT, deployed

# Types that some regions lack, each with the words before the list of these regions in docs/operations/deploy.md. A condition leaves
# them out. The pipe has a template of its own, so no list.
OPTIONAL = {
    "AWS::Lambda::Url": "function URLs in ",
    "AWS::Pipes::Pipe": None,
    "AWS::SES::ConfigurationSet": "for SES in ",
    "AWS::SES::ConfigurationSetEventDestination": "for SES in ",
}


def types():
    """The types of the templates, each with the first file that has it."""
    found = {}
    for file, template in deployed().items():
        for resource in template["Resources"].values():
            if not resource["Type"].startswith("Custom::"):
                found.setdefault(resource["Type"], file)
    return found


def listed(words, page):
    """The regions after these words, up to the end of the sentence."""
    return set(re.findall(r"[a-z]+(?:-[a-z]+)+-\d+", page.split(words, 1)[1].split(".", 1)[0]))


def problems(providers, page):
    linted = providers["us-east-1"]
    for kind, file in types().items():
        if kind not in linted:
            yield f"{file}: us-east-1 has no {kind}"
        lacking = {region for region, schemas in providers.items() if kind not in schemas}
        others = sorted(region for region, schemas in providers.items() if schemas.get(kind) not in (None, linted.get(kind)))
        if others:
            yield f"{file}: {', '.join(others)}: another {kind} than in us-east-1: lint the templates for these regions too"
        if kind not in OPTIONAL:
            if lacking:
                yield f"{file}: {', '.join(sorted(lacking))}: no {kind}"
        elif OPTIONAL[kind] and listed(OPTIONAL[kind], page) != lacking:
            yield f"docs/operations/deploy.md: {', '.join(sorted(lacking))} lack {kind}"


def main(schemas):
    files = (Path(schemas) / "providers").glob("*-*.json")
    providers = {file.stem: json.loads(file.read_text()) for file in files}
    assert len(providers) > 30, providers.keys()
    found = list(problems(providers, (ROOT / "docs/operations/deploy.md").read_text()))
    if found:
        sys.exit("\n".join(found))
    print(f"  {len(types())} resource types in {len(providers)} regions")


main(*sys.argv[1:])
