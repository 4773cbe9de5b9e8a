// Faults of custom resources: a JSON list of resources on standard input, a JSON list of sentences on standard
// output. The schema finds wrong types and missing fields, TypeScript the fields that a kind does not have.
import { readFileSync, writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

const PACKAGES = { "keda.sh": "keda", "monitoring.coreos.com": "prometheus-operator" };
const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;

function moduleOf({ apiVersion, kind }) {
  const name = PACKAGES[apiVersion.split("/")[0]];
  return name === undefined ? null : `@kubernetes-models/${name}/${apiVersion}/${kind}`;
}

async function schemaFaults(resource) {
  const path = moduleOf(resource);
  if (path === null) return [`no schema of ${resource.apiVersion} ${resource.kind}`];
  const Model = (await import(path))[resource.kind];
  try {
    new Model(resource).validate();
    return [];
  } catch (error) {
    return [`${resource.kind} ${resource.metadata?.name}: ${error.message}`];
  }
}

function typeFaults(resources) {
  const folder = mkdtempSync(join(here, "checked-"));
  try {
    const files = resources.map((resource, number) => {
      const file = join(folder, `${number}.ts`);
      const type = `I${resource.kind}`;
      const lines = [
        `import type { ${type} } from "${moduleOf(resource)}";`,
        `export const resource: ${type} = ${JSON.stringify(resource, null, 1)};`,
      ];
      writeFileSync(file, lines.join("\n"));
      return file;
    });
    const options = {
      noEmit: true,
      strict: true,
      skipLibCheck: true,
      types: [],
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
    };
    return ts
      .getPreEmitDiagnostics(ts.createProgram(files, options))
      .map((fault) => ts.flattenDiagnosticMessageText(fault.messageText, " "));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const resources = JSON.parse(readFileSync(0, "utf8"));
const known = resources.filter((resource) => moduleOf(resource) !== null);
const faults = (await Promise.all(resources.map(schemaFaults))).flat();
process.stdout.write(JSON.stringify([...faults, ...typeFaults(known)]));
