"""Rotates the keys of a stack once, as Secrets Manager would: MiniStack's own RotateSecret copies the value and asks nobody.

    rotate.py ENDPOINT STACK

Every step is sent twice, as Secrets Manager does when an answer was lost.
"""

import json
import sys
import uuid

from account import Aws, say

STEPS = ["createSecret", "setSecret", "testSecret", "finishSecret"]
SECTIONS = ["SigningKeys", "RefreshKeys", "Peppers"]


def invoke(aws, function, event):
    """Calls the function, and returns what it answered."""
    answer = aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    payload = json.loads(answer["Payload"].read() or b"null")
    if answer.get("FunctionError"):
        raise SystemExit(f"{event}: {payload}")
    return payload


def rotate(aws, stack):
    outputs = aws.outputs(stack)
    before = aws.key_versions(outputs)
    for section in SECTIONS:
        secret, token = outputs[f"{section}SecretArn"], str(uuid.uuid4())
        for step in STEPS:
            for _ in range(2):
                event = {"Step": step, "SecretId": secret, "ClientRequestToken": token}
                invoke(aws, outputs["RotateKeysFunctionName"], event)
        # The next rotation takes the label on AWS. MiniStack's PutSecretValue leaves it here too.
        aws.client("secretsmanager").update_secret_version_stage(SecretId=secret, VersionStage="AWSPENDING", RemoveFromVersionId=token)
    after = aws.key_versions(outputs)
    same = [name for name in after if after[name] == before[name]]
    if same:
        raise SystemExit(f"not rotated: {same}")
    say(f"rotated the keys of {stack}")


if __name__ == "__main__":
    endpoint, name = sys.argv[1:]
    rotate(Aws(endpoint), name)
