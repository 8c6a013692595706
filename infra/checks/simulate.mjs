// Decisions of IAM about the requests on standard input, as a JSON list on standard output: rights.py makes and compares them.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { text } from "node:stream/consumers";

const { resolve } = createRequire(`${process.argv[2]}/package.json`);
const { runSimulation } = await import(pathToFileURL(resolve("@cloud-copilot/iam-simulate")));

const results = [];
for (const one of JSON.parse(await text(process.stdin))) {
  const response = await runSimulation(
    {
      request: {
        principal: one.principal,
        action: one.action,
        resource: { resource: one.resource, accountId: "123456789012" },
        contextVariables: one.context.context ?? {},
      },
      identityPolicies: (one.identity ?? []).map((policy, index) => ({ name: `policy-${index}`, policy })),
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      resourcePolicy: one.resource_policy ?? undefined,
    },
    {},
  );
  results.push(response.resultType === "error" ? `an error: ${JSON.stringify(response.errors)}` : response.overallResult);
}
process.stdout.write(JSON.stringify(results));
