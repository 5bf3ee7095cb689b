import { events } from "../api/events";
import { ApiError, call } from "../api/http";
import type { Progress, Purse, Question } from "./answer";

interface Bodies {
  quote: { price_wei: string; most_wei: string };
  open: { block: number };
  token: { text: string; tokens: number; paid: number };
  end: { reason: string; tokens: number; signed: boolean };
  settled: { tokens: number; over: boolean };
  failed: { title: string; detail: string };
}

/** The node's own wallet: the node signs, the page only asks. */
export class NodePurse implements Purse {
  readonly name = "the node's wallet";

  constructor(private readonly token: string | undefined) {}

  async ask(question: Question, progress: Progress, signal: AbortSignal): Promise<void> {
    progress.doing("Asking for a price");
    const accept = "text/event-stream";
    const answer = await call("/dashboard/api/v1/inference/ask", {
      method: "POST",
      body: question,
      token: this.token,
      signal,
      accept,
    });
    let reason = "";
    for await (const { event, data } of events(answer)) {
      const body: unknown = JSON.parse(data);
      if (event === "failed") {
        const { title, detail } = body as Bodies["failed"];
        throw new ApiError(title, detail, 0, "failed");
      }
      reason = this.#heard(event as keyof Bodies, body, progress) ?? reason;
      if (event === "settled") {
        const { tokens, over } = body as Bodies["settled"];
        progress.over(reason, over ? tokens : undefined);
      }
    }
  }

  #heard(event: keyof Bodies, body: unknown, progress: Progress): string | undefined {
    if (event === "quote") {
      const { price_wei, most_wei } = body as Bodies["quote"];
      progress.quoted(price_wei, most_wei);
      progress.doing("Locking the fee");
    } else if (event === "open") {
      progress.doing("Waiting for the first token");
    } else if (event === "token") {
      const { text, tokens, paid } = body as Bodies["token"];
      progress.doing("");
      progress.text(text);
      progress.counted(tokens, paid);
    } else if (event === "end") {
      const { reason, tokens } = body as Bodies["end"];
      progress.counted(tokens, tokens);
      progress.doing("Settling on chain");
      return reason;
    }
    return undefined;
  }
}
