import type { PanelState } from "../api/types";

const QUIET_MS = 1000;
const EVERY_MS = 10_000;
const BEATING = ["idle", "downloading", "training", "uploading", "paused", "finishing"];

/** Heartbeats to the gateway: the newest state, every ten seconds and at most once a second. */
export class Beats {
  private socket: WebSocket | undefined;
  private timer = 0;
  private last = 0;
  private state: PanelState | undefined;

  /** Connects unless it is; a socket that does not open costs nothing but the heartbeats. */
  async begin(token: string): Promise<void> {
    if (this.socket && this.socket.readyState <= WebSocket.OPEN) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/v1/ws/status`);
    this.socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ type: "hello", token }));
    window.clearInterval(this.timer);
    this.timer = window.setInterval(() => this.state && this.send(this.state), EVERY_MS);
  }

  beat(state: PanelState): void {
    this.state = state;
    if (Date.now() - this.last >= QUIET_MS) this.send(state);
  }

  end(): void {
    window.clearInterval(this.timer);
    this.socket?.close();
    this.socket = this.state = undefined;
  }

  private send(state: PanelState): void {
    if (this.socket?.readyState !== WebSocket.OPEN || !BEATING.includes(state.phase)) return;
    this.last = Date.now();
    const { batch } = state;
    this.socket.send(
      JSON.stringify({
        type: "beat",
        state: state.phase,
        batch_id: batch?.batch_id ?? null,
        step: batch?.step ?? 0,
        steps: batch?.steps ?? 0,
        loss: batch?.loss ?? null,
        tokens_per_s: batch?.tokens_per_s ?? 0,
      }),
    );
  }
}
