/** What the page and its worker say to each other. */

import type { Architecture } from "./architecture";

export interface TrainOrder {
  kind: "train";
  architecture: Architecture;
  /** A safetensors file, and its sha256 in hex. */
  weights: ArrayBuffer;
  sha256: string;
  /** u16 LE [steps, batch, seq_len + 1], and its sha256. */
  tokens: ArrayBuffer;
  tokensSha256: string;
  steps: number;
  codec: string;
  carried: boolean;
  checkpoints: number[];
}

export type Order =
  | TrainOrder
  | { kind: "solve"; challenge: string; key: string; difficulty: number }
  | { kind: "share"; share: number }
  | { kind: "hold"; held: boolean }
  | { kind: "counted"; update: "yes" | "no" }
  | { kind: "reveal" };

export interface WireLeaf {
  state_root: string;
  batch_root: string;
  loss_bits: number;
}

export interface Trained {
  kind: "trained";
  leaves: WireLeaf[];
  losses: number[];
  /** One zstd frame around the payload. */
  frame: ArrayBuffer;
  payloadSha256: string;
  payloadSize: number;
  rawSize: number;
  residualIn: string | null;
  residualOut: string | null;
}

export type Report =
  | { kind: "ready"; kernel: string }
  | { kind: "solved"; nonce: string }
  | { kind: "step"; step: number; loss: number; seconds: number }
  | { kind: "checkpoint"; step: number; file: ArrayBuffer }
  | { kind: "revealed"; file: ArrayBuffer }
  | { kind: "failed"; reason: string }
  | Trained;
