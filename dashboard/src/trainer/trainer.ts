import type { Limits, PanelState } from "../api/types";

/**
 * Something that trains batches for a gateway and tells how it goes. The panel draws any of them; today there is the
 * process on this machine (`local.ts`).
 */
export interface Trainer {
  /** Called with every new state, and with the reason where none comes any more. Returns a way to end that. */
  watch(heard: (state: PanelState) => void, lost: (why: Error) => void): () => void;
  start(): Promise<void>;
  pause(): Promise<void>;
  /** Ends the batch under way, then stops. */
  finish(): Promise<void>;
  limit(limits: Limits): Promise<void>;
}
