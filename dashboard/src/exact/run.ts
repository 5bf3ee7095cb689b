/** Trains steps outside a browser, for the tests: `node run.js exact.wasm architecture.json weights.bin tokens.bin codec`.
 *
 * Weights are fp32 in sorted order of names, tokens u16 [steps, batch, seq_len + 1]; writes one JSON document. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { elements, shapes, type Architecture } from "./architecture";
import { encodeUpdate } from "./codec";
import { Kernels } from "./kernels";
import { hex, type Roots } from "./roots";
import { Trainer, type StepLeaf } from "./trainer";
import { zstdFrame } from "./zstd";

const [wasm, architectureFile, weightsFile, tokensFile, codec] = process.argv.slice(2) as [string, string, string, string, string];
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
const payload = encodeUpdate(codec, trainer.shapes, trainer.difference(start));
const roots: Roots = trainer.roots;
process.stdout.write(
  JSON.stringify({
    leaves: leaves.map((leaf) => [hex(leaf.stateRoot), hex(leaf.batchRoot), leaf.lossBits]),
    losses,
    trace: hex(roots.trace(leaves)),
    payload_sha256: createHash("sha256").update(payload).digest("hex"),
    payload_size: payload.length,
    frame: Buffer.from(zstdFrame(payload)).toString("base64"),
    tokens_per_s: (leaves.length * architecture.batch * architecture.seq_len) / seconds,
  }),
);
