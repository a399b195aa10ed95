// Runs a folder of transformers.js on token ids: node generate.mjs REQUEST.json
// The request names the folder, the class, the precisions, and the inputs; the answers are printed as one line of JSON.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import path from "node:path";

const request = JSON.parse(readFileSync(process.argv[2]));
const library = path.join(request.modules, "node_modules/@huggingface/transformers/dist/transformers.node.mjs");
const transformers = await import(pathToFileURL(library));
transformers.env.allowRemoteModels = false;
transformers.env.localModelPath = path.dirname(request.folder);

const tensor = ({ type, data, dims }) =>
  new transformers.Tensor(type, type === "int64" ? BigInt64Array.from(data.map(BigInt)) : Float32Array.from(data), dims);
const inputs = Object.fromEntries(Object.entries(request.inputs).map(([name, value]) => [name, tensor(value)]));

const answers = {};
for (const dtype of request.precisions) {
  try {
    const model = await transformers[request.class].from_pretrained(path.basename(request.folder), { dtype });
    if (request.generate) {
      const tokens = await model.generate({ ...inputs, ...request.generate });
      answers[dtype] = tokens.tolist().map((row) => row.map(Number));
    } else {
      const outputs = await model(inputs);
      const output = outputs[request.output];
      answers[dtype] = { dims: output.dims, data: Array.from(output.to("float32").data) };
    }
    await model.dispose();
  } catch (error) {
    answers[dtype] = { error: String(error).split("\n")[0] };
  }
}
console.log(JSON.stringify(answers));
