// Runs a folder of transformers.js: node generate.mjs REQUEST.json
// The request names the folder, the class, the precision, the inputs, and the outputs, which are printed as JSON, with the
// tokens that greedy search finds. The logits are those of a text in one pass.

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
const row = ({ type, data, dims }, at) => {
  const size = data.length / dims[0];
  return tensor({ type, data: data.slice(at * size, (at + 1) * size), dims: [1, ...dims.slice(1)] });
};
const ids = (rows) => tensor({ type: "int64", data: rows.flat(), dims: [rows.length, rows[0].length] });

const dtype = request.precision;
const model = await transformers[request.class].from_pretrained(path.basename(request.folder), { dtype });
const answer = {};
let given = { ...inputs };
if (request.search) {
  // Whisper starts with tokens for one sample, whatever the size of the batch.
  const batches = request.is_single
    ? request.text.map((_, at) => Object.fromEntries(Object.entries(request.inputs).map(([name, value]) => [name, row(value, at)])))
    : [inputs];
  answer.tokens = [];
  for (const batch of batches) {
    const tokens = await model.generate({ ...batch, ...request.search });
    answer.tokens.push(...tokens.tolist().map((row) => row.map(Number)));
  }
  if (request.is_decoder) {
    const { data, dims } = request.inputs.attention_mask;
    const rows = request.text.map((row, at) => row.map((_, place) => (place < dims[1] ? data[at * dims[1] + place] : 1)));
    given = { input_ids: ids(request.text), attention_mask: ids(rows) };
  } else {
    given.decoder_input_ids = ids(request.text);
  }
}
const outputs = await model(given);
const numbers = ({ dims, data }) => ({ dims, data: Array.from(data, Number) });
answer.outputs = Object.fromEntries(request.outputs.map((name) => [name, numbers(outputs[name].to("float32"))]));
console.log(JSON.stringify(answer));
