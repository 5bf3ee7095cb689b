/** A lease on a batch (node/gateway/schemas.py, BatchOffer). */
export interface Offer {
  batch_id: string;
  lease_id: string;
  model_version: string;
  data_url: string;
  data_sha256: string;
  num_samples: number;
  steps: number;
  codec: string;
  residual: "zero" | "carried";
  checkpoints: number[];
  expires_at: number;
}
