// The bodies of the three interfaces that a page may find behind it. Sources: node/gateway/schemas.py,
// node/volunteer/panel_schemas.py, node/dashboard/schemas.py. Times are Unix seconds, money is decimal text in wei.

export interface Features {
  node: boolean;
  gateway: boolean;
  panel: boolean;
  inference: boolean;
}

// --- gateway ---

export interface Architecture {
  name: string;
  layers: number;
  width: number;
  heads: number;
  seq_len: number;
  batch: number;
  vocab: number;
}

export interface Model {
  version: string;
  number: number;
  parent: string | null;
  source: "genesis" | "aggregation" | "round" | "rollback";
  architecture: Architecture;
  num_parameters: number;
  root: string;
  sha256: string;
  size: number;
  url: string;
  active: boolean;
  created_at: number;
  metrics: Record<string, unknown>;
}

export interface GlobalStats {
  version: string;
  active_workers: number;
  total_workers: number;
  batches_completed: number;
  batches_pending: number;
  tokens: number;
  tokens_per_s: number;
  heldout_loss: number | null;
  loss_history: [number, number][];
  aggregations: number;
  idle_reason: string;
  at: number;
}

export type Badge = "1K" | "10K" | "100K";

export interface LeaderRow {
  rank: number;
  username: string;
  batches: number;
  tokens: number;
  reputation: number;
  badges: Badge[];
}

export interface WorkerUpdate {
  update_id: string;
  batch_id: string;
  version: string;
  loss: number;
  samples: number;
  state: string;
  reason: string;
  uploaded_at: number;
  claim_hash: string | null;
}

export interface WorkerStats {
  worker_id: string;
  username: string;
  batches: number;
  rejected: number;
  tokens: number;
  reputation: number;
  rank: number;
  badges: Badge[];
  quarantined_until: number | null;
  quarantine_reason: string;
  recent: WorkerUpdate[];
}

export interface Hardware {
  cpu: string;
  threads: number;
  gpu: string;
  vram_gb: number;
  memory_gb: number;
  batch_size: number | null;
  tokens_per_s: number;
  kernel: string;
}

export interface StatsMessage {
  type: "stats";
  stats: GlobalStats;
}

// --- volunteer on this machine ---

export type Phase = "idle" | "downloading" | "training" | "uploading" | "paused" | "finishing" | "stopped";
export type Wish = "start" | "pause" | "finish";

export interface Limits {
  cpu_threads: number | null;
  cpu_share: number;
  gpu_memory_share: number;
  hours: string | null;
  pause_on_battery: boolean;
  max_batches: number | null;
  max_samples: number | null;
}

export interface LogLine {
  at: number;
  level: "info" | "good" | "warning" | "error";
  text: string;
}

export interface BatchProgress {
  batch_id: string;
  model_version: string;
  samples: number;
  step: number;
  steps: number;
  tokens: number;
  loss: number | null;
  tokens_per_s: number;
  seconds_left: number | null;
  expires_at: number;
}

export interface Transfer {
  name: string;
  direction: "down" | "up";
  done: number;
  size: number;
}

export interface SessionTotals {
  batches: number;
  tokens: number;
  rejected: number;
  bytes_up: number;
  bytes_raw: number;
  bytes_down: number;
  started_at: number;
}

export interface PanelState {
  phase: Phase;
  wish: Wish;
  reason: string;
  gateway: string;
  connected: boolean;
  worker_id: string | null;
  username: string | null;
  model: Model | null;
  batch: BatchProgress | null;
  transfer: Transfer | null;
  session: SessionTotals;
  worker: WorkerStats | null;
  network: GlobalStats | null;
  hardware: Hardware;
  machine_notes: string[];
  limits: Limits;
  log: LogLine[];
  at: number;
}

// --- node ---

export interface Snapshot {
  address: string;
  preset: string;
  version: number;
  target: number;
  rows: number;
  kernel: string;
  mode: string;
  why: string;
  tier: number;
  layer_us: number;
  holds: string;
  activity: string;
  block: number;
  round: number;
  phase: string;
  phase_ends: number;
  step: number;
  steps: number;
  loss: number | null;
  heldout_loss: number | null;
  tokens: number;
  tokens_per_s: number;
  nodes: number;
  audits: number;
  audits_failed: number;
  rounds_done: number;
  updated: number;
}

export interface NodeStatus {
  state: "never" | "running" | "silent" | "stopped";
  idle_reason: string;
  now: Snapshot | null;
  collected_wei: string;
  at: number;
}

export interface Parts {
  start: number;
  stop: number;
}

export interface NodeEntry {
  account: string;
  mode: string;
  why: string;
  layer_us: number;
  memory: number;
  held: Parts | null;
  presence: "online" | "stale" | "offline";
  last_heartbeat: number;
  speed: number;
}

export interface QuorumRow {
  id: string;
  initiator: string;
  state: string;
  why: string;
  began: number;
  ends: number;
  batches: number;
  renewals: number;
  seats: { account: string; parts: Parts }[];
}

export interface LayerRow {
  part: number;
  name: string;
  holders: string[];
  wanted: number;
  scarcity: number;
}

export interface NetworkAnswer {
  updated: number;
  account: string;
  online: number;
  modes: Record<string, number>;
  tiers: Record<string, number>;
  nodes: NodeEntry[];
  quorums: QuorumRow[];
  layers: LayerRow[];
}

export interface RoundEntry {
  number: number;
  phase: string;
  claim_deadline: number;
  challenge_deadline: number;
  outer_deadline: number | null;
  start_root: string;
  end_root: string | null;
  steps: number;
  first_loss: number | null;
  last_loss: number | null;
  claims: number;
}

export interface RoundsAnswer {
  rounds: RoundEntry[];
  losses: number[];
  first_step: number;
}

export interface ClaimEntry {
  hash: string;
  round: number;
  node: string;
  kind: "train" | "outer";
  own: boolean;
  state: string;
  steps: number;
  tokens: number;
  reason: string;
  tx_hash: string;
  audit: string;
  audit_detail: string;
}

export interface ClaimsAnswer {
  claims: ClaimEntry[];
  states: Record<string, number>;
}

export interface DisputeEntry {
  id: string;
  claim: string;
  prover: string;
  challenger: string;
  step: number;
  moves: number;
  turn: "prover" | "challenger" | "";
  deadline: number;
  words: string;
}

export interface DisputesAnswer {
  round: number;
  now: number;
  disputes: DisputeEntry[];
}

export interface VersionEntry {
  number: number;
  rows: number;
  parent: number;
  activated_at: number;
  before: number;
  after: number;
}

export interface VoteEntry {
  id: string;
  proposer: string;
  parent: number;
  uri: string;
  state: string;
  words: string;
  approve_wei: string;
  reject_wei: string;
  abstain_wei: string;
  approval_bps: number;
  approval_needed_bps: number;
  quorum_bps: number;
  vote_starts: number;
  vote_ends: number;
}

export interface ProposalEntry extends VoteEntry {
  eta: number;
  merges: number;
  tokens: string[];
}

export interface PledgeEntry {
  account: string;
  first: number;
  count: number;
  tier: number;
}

export interface GrowthEntry extends VoteEntry {
  before: number;
  after: number;
  decided_from: number;
  extensions: number;
  extensions_most: number;
  holders: string;
  pledged: number;
  pledges: PledgeEntry[];
}

export interface VocabularyAnswer {
  current: number;
  target: number;
  now: number;
  versions: VersionEntry[];
  proposals: ProposalEntry[];
  growths: GrowthEntry[];
}

export interface NodeWallet {
  account: string;
  balance_wei: string;
  deposit_wei: string;
  max_fee_wei: string;
}

export interface InferenceAnswer {
  server: string;
  account: string;
  price_wei: string;
  busy: number;
  slots: number;
  tier: number;
  vocabulary: number;
  model_root: string;
  chain_id: number;
  escrow: string;
  wallet: NodeWallet | null;
  why_not: string;
}
