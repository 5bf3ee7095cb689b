import { ApiError, json } from "../api/http";
import type { Prepared, Provider } from "../api/wallet";
import type { Progress, Purse, Question } from "./answer";

const RECEIPT_POLL_MS = 500;
const API = "/dashboard/api/v1/inference";

interface Message {
  type: "token" | "end" | "accepted" | "refused";
  index?: number;
  text?: string;
  tokens?: number;
  reason?: string;
}

/**
 * A wallet in the browser (EIP-1193). It sends the transactions that lock the fee, and signs a voucher for every few
 * tokens (EIP-712, `eth_signTypedData_v4`): docs/PAYMENT.md. The node prepares both and checks the server's offer; no
 * key ever leaves the wallet.
 */
export class BrowserPurse implements Purse {
  readonly name = "your wallet";

  constructor(private readonly wallet: Provider) {}

  async ask(question: Question, progress: Progress, signal: AbortSignal): Promise<void> {
    progress.doing("Waiting for your wallet");
    const payer = await this.#account();
    progress.doing("Asking for a price");
    const body = { ...question, payer };
    const prepared = await json<Prepared>(`${API}/quote`, { method: "POST", body, signal });
    progress.quoted(prepared.price_wei, prepared.most_wei);
    await this.#onChain(prepared.chain_id);
    let block = 0;
    for (const { purpose, to, data } of prepared.sendings) {
      progress.doing(`Confirm in your wallet: ${purpose}`);
      const hash = await this.#call<string>("eth_sendTransaction", [{ from: payer, to, data }]);
      progress.doing(`${purpose}: waiting for the block`);
      block = await this.#mined(hash, signal);
    }
    progress.doing("Confirm in your wallet: the first voucher, for 0 tokens");
    const voucher = await this.#sign(payer, prepared, 0);
    const begin = JSON.stringify({ ...prepared.begin, voucher, block });
    progress.doing("Waiting for the first token");
    await this.#converse(payer, prepared, begin, progress, signal);
  }

  async #account(): Promise<string> {
    const accounts = await this.#call<string[]>("eth_requestAccounts", []);
    const first = accounts[0];
    if (!first) throw new ApiError("Your wallet shows no account.", "Unlock it and ask again.", 0, "wallet");
    return first;
  }

  async #onChain(chain: number): Promise<void> {
    const wanted = `0x${chain.toString(16)}`;
    if ((await this.#call<string>("eth_chainId", [])) === wanted) return;
    await this.#call("wallet_switchEthereumChain", [{ chainId: wanted }]);
  }

  async #mined(hash: string, signal: AbortSignal): Promise<number> {
    for (;;) {
      const receipt = await this.#call<{ blockNumber: string; status: string } | null>(
        "eth_getTransactionReceipt",
        [hash],
      );
      if (receipt) {
        if (BigInt(receipt.status) === 1n) return Number(receipt.blockNumber);
        throw new ApiError("The chain refused the transaction.", "Nothing more was sent.", 0, "reverted");
      }
      if (signal.aborted) throw new ApiError("Stopped.", "", 0, "stopped");
      await new Promise((resolve) => setTimeout(resolve, RECEIPT_POLL_MS));
    }
  }

  #sign(payer: string, prepared: Prepared, tokens: number): Promise<string> {
    const message = { ...prepared.voucher.message, tokens };
    const document = JSON.stringify({ ...prepared.voucher, message });
    return this.#call<string>("eth_signTypedData_v4", [payer, document]);
  }

  /** Takes tokens and pays for them. The newest one is never paid for before the end, as in `ponw infer`. */
  #converse(
    payer: string,
    prepared: Prepared,
    begin: string,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<void> {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}${API}/answers/${prepared.request}`);
    let tokens = 0;
    let paid = 0;
    let reason = "";
    const pay = async (upTo: number) => {
      const signature = await this.#sign(payer, prepared, upTo);
      paid = upTo;
      if (socket.readyState === WebSocket.OPEN) {
        socket.send(JSON.stringify({ type: "voucher", tokens: upTo, signature }));
        progress.counted(tokens, paid);
      }
    };
    return new Promise((resolve, reject) => {
      const fail = (message: string, hint = "") => {
        socket.close();
        reject(new ApiError(message, hint, 0, "answer"));
      };
      const took = async (message: Message) => {
        if (message.type === "token") {
          if (message.index !== tokens)
            return fail(`The server sent token ${message.index} where ${tokens} comes next.`);
          tokens += 1;
          progress.doing("");
          progress.text(message.text ?? "");
          progress.counted(tokens, paid);
          if (tokens > 1 && tokens % prepared.voucher_tokens === 1) await pay(tokens - 1);
        } else if (message.type === "end") {
          if (message.tokens !== tokens)
            return fail(`The server counts ${message.tokens} tokens, but sent ${tokens}.`);
          reason = message.reason ?? "";
          progress.text(message.text ?? "");
          progress.doing(tokens > paid ? "Confirm in your wallet: the last voucher" : "");
          if (tokens > 0) await pay(tokens);
          else over();
        } else if (message.type === "accepted") {
          over();
        } else {
          fail(
            message.reason ?? "The server refuses.",
            "What was not served comes back when the request ends.",
          );
        }
      };
      const over = () => {
        progress.over(reason, tokens);
        socket.close();
        resolve();
      };
      socket.onopen = () => socket.send(begin);
      socket.onmessage = (event: MessageEvent<string>) => {
        took(JSON.parse(event.data) as Message).catch((error: unknown) => fail(words(error)));
      };
      socket.onclose = () =>
        fail("The server broke off.", `${paid} tokens are paid for; the rest comes back.`);
      signal.addEventListener("abort", () => {
        if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "stop" }));
      });
    });
  }

  async #call<T>(method: string, params: unknown[]): Promise<T> {
    try {
      return (await this.wallet.request({ method, params })) as T;
    } catch (error) {
      throw new ApiError(`Your wallet refused: ${words(error)}`, "Nothing more was sent.", 0, "wallet");
    }
  }
}

function words(error: unknown): string {
  if (typeof error === "object" && error !== null && "message" in error) return String(error.message);
  return String(error);
}
