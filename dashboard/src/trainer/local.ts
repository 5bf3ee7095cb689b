import { events } from "../api/events";
import { asApiError, call, json } from "../api/http";
import type { Limits, LogLine, PanelState, Wish } from "../api/types";
import type { Trainer } from "./trainer";

const RETRY_MS = 1500;
const LOG_LINES = 200;

/** A `ponw volunteer` process on this machine, through its control interface (node/volunteer/panel_schemas.py). */
export class LocalTrainer implements Trainer {
  #state: PanelState | undefined;
  #heard: (state: PanelState) => void = () => undefined;

  constructor(private readonly token: string | undefined) {}

  watch(heard: (state: PanelState) => void, lost: (why: Error) => void): () => void {
    const ending = new AbortController();
    this.#heard = heard;
    void this.#follow(ending.signal, lost);
    return () => ending.abort();
  }

  start(): Promise<void> {
    return this.#wish("start");
  }

  pause(): Promise<void> {
    return this.#wish("pause");
  }

  finish(): Promise<void> {
    return this.#wish("finish");
  }

  async limit(limits: Limits): Promise<void> {
    const kept = await json<Limits>("/local/v1/limits", { method: "PUT", body: limits, token: this.token });
    if (this.#state) this.#tell({ ...this.#state, limits: kept });
  }

  async #wish(wish: Wish): Promise<void> {
    this.#tell(await json<PanelState>(`/local/v1/${wish}`, { method: "POST", token: this.token }));
  }

  async #follow(signal: AbortSignal, lost: (why: Error) => void): Promise<void> {
    while (!signal.aborted) {
      try {
        const accept = "text/event-stream";
        const answer = await call("/local/v1/events", { signal, accept, token: this.token });
        for await (const { event, data } of events(answer)) {
          if (event === "state") this.#tell(JSON.parse(data) as PanelState);
          if (event === "log") this.#log(JSON.parse(data) as LogLine);
        }
        if (!signal.aborted) lost(new Error("The volunteer on this machine has ended."));
      } catch (error) {
        if (signal.aborted) return;
        lost(asApiError(error));
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  #tell(state: PanelState): void {
    this.#state = state;
    this.#heard(state);
  }

  #log(line: LogLine): void {
    if (!this.#state) return;
    const log = this.#state.log;
    if (log.some((known) => known.at === line.at && known.text === line.text)) return;
    this.#tell({ ...this.#state, log: [...log, line].slice(-LOG_LINES) });
  }
}
