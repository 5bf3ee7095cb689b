/** Trains steps outside a browser, for the tests: `node run.js exact.wasm architecture.json weights.bin tokens.bin codec`.
 *
 * Weights are fp32 in sorted order of names, tokens u16 [steps, batch, seq_len + 1]; writes one JSON document. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Architecture, elements, shapes } from "./architecture";
import { encodeUpdate, sendWithFeedback } from "./codec";
import { Kernels } from "./kernels";
import { hex } from "./roots";
import { rawBytes } from "./tensors";
import { type StepLeaf, Trainer } from "./trainer";
import { zstdFrame } from "./zstd";

const [wasm, architectureFile, weightsFile, tokensFile, codec] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];
const architecture = JSON.parse(readFileSync(architectureFile, "utf8")) as Architecture;
const aligned = (file: string): ArrayBuffer => new Uint8Array(readFileSync(file)).buffer;
const flat = new Float32Array(aligned(weightsFile));
const tokens = new Uint16Array(aligned(tokensFile));

const start = new Map<string, Float32Array>();
let at = 0;
for (const shape of shapes(architecture)) {
  start.set(shape.name, flat.slice(at, at + elements(shape)));
  at += elements(shape);
}
const trainer = new Trainer(await Kernels.load(readFileSync(wasm)), architecture);
trainer.start(start);
const perStep = architecture.batch * (architecture.seq_len + 1);
const leaves: StepLeaf[] = [];
const losses: number[] = [];
const began = performance.now();
for (let step = 0; step * perStep < tokens.length; step++) {
  const { loss, leaf } = trainer.next(tokens.subarray(step * perStep, (step + 1) * perStep));
  leaves.push(leaf);
  losses.push(loss);
}
const seconds = (performance.now() - began) / 1000;
const update = trainer.difference(start);
const payload =
  codec === "raw" ? rawBytes(trainer.shapes, update) : encodeUpdate(codec, trainer.shapes, update);
const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
const feedback: { payload: string; left: string }[] = [];
let left: Map<string, Float32Array> = new Map(
  trainer.shapes.map((shape) => [shape.name, new Float32Array(elements(shape))]),
);
for (let i = 0; i < 2 && codec !== "raw"; i++) {
  const sent = sendWithFeedback(codec, trainer.shapes, update, left);
  left = sent.left;
  feedback.push({ payload: sha256(sent.payload), left: sha256(rawBytes(trainer.shapes, left)) });
}
process.stdout.write(
  JSON.stringify({
    leaves: leaves.map((leaf) => [hex(leaf.stateRoot), hex(leaf.batchRoot), leaf.lossBits]),
    losses,
    trace: hex(trainer.roots.trace(leaves)),
    payload_sha256: sha256(payload),
    frame: Buffer.from(zstdFrame(payload)).toString("base64"),
    state_sha256: sha256(trainer.checkpoint()),
    feedback,
    tokens_per_s: (leaves.length * architecture.batch * architecture.seq_len) / seconds,
  }),
);
