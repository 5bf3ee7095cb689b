import { call } from "../api/http";
import type { Trained } from "../exact/protocol";
import type { Offer } from "./offer";

export interface Receipt {
  update_id: string;
  state: "held" | "accepted" | "rejected" | "aggregated";
  reason: string;
  reveal_residual: boolean;
}

const MAGIC = 0x50565531;

/** The body of an upload, `PVU1` (node/gateway/wire.py). */
export function body(offer: Offer, workerId: string, done: Trained, seconds: number): Blob {
  const meta = {
    worker_id: workerId,
    batch_id: offer.batch_id,
    lease_id: offer.lease_id,
    model_version: offer.model_version,
    codec: offer.codec,
    loss: done.losses.reduce((sum, loss) => sum + loss, 0) / done.losses.length,
    num_samples: offer.num_samples,
    leaves: done.leaves,
    payload_sha256: done.payloadSha256,
    payload_size: done.payloadSize,
    ...(done.residualIn ? { residual_in: done.residualIn, residual_out: done.residualOut } : {}),
    seconds,
  };
  const text = new TextEncoder().encode(JSON.stringify(meta));
  const head = new DataView(new ArrayBuffer(8));
  head.setUint32(0, MAGIC);
  head.setUint32(4, text.length);
  return new Blob([head.buffer, text, done.frame]);
}

export async function upload(data: Blob, token: string): Promise<Receipt> {
  const type = "application/vnd.ponw.update";
  const answer = await call("/api/v1/gradients/upload", { method: "POST", token, data, type });
  return (await answer.json()) as Receipt;
}

export async function reveal(updateId: string, file: ArrayBuffer, token: string): Promise<Receipt> {
  const type = "application/zstd";
  const answer = await call(`/api/v1/gradients/${updateId}/residual`, {
    method: "PUT",
    token,
    data: new Blob([file]),
    type,
  });
  return (await answer.json()) as Receipt;
}

export async function putCheckpoint(
  batchId: string,
  step: number,
  file: ArrayBuffer,
  token: string,
): Promise<void> {
  const type = "application/octet-stream";
  await call(`/api/v1/batch/${batchId}/checkpoint/${step}`, {
    method: "PUT",
    token,
    data: new Blob([file]),
    type,
  });
}
