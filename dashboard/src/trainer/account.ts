import { ApiError, call, json } from "../api/http";
import type { Hardware, WorkerStats } from "../api/types";
import type { Computer } from "./computer";

const KEY = "ponw-volunteer-key";
const NAME = "ponw-volunteer-name";
const UNKNOWN = [401, 404];
const RENEW_BEFORE_S = 60;
const WORK_BITS_MAX = 32;

interface Session {
  token: string;
  worker_id: string;
  expires_at: number;
}

interface Challenge {
  challenge: string;
  ticket: string;
  difficulty: number;
}

/** This browser's account at the gateway: a key that is made here and stays here. */
export class Account {
  private session: Session | undefined;

  get name(): string | null {
    return localStorage.getItem(NAME);
  }

  set name(name: string | null) {
    if (name) localStorage.setItem(NAME, name);
  }

  get known(): boolean {
    return localStorage.getItem(KEY) !== null;
  }

  get workerId(): string | null {
    return this.session?.worker_id ?? null;
  }

  /** A token that holds for a while; registers the key first where the gateway does not know it. */
  async token(computer: Computer, hardware: Hardware, say: (text: string) => void): Promise<string> {
    const now = Date.now() / 1000;
    if (this.session && this.session.expires_at - RENEW_BEFORE_S > now) return this.session.token;
    try {
      return await this.login();
    } catch (error) {
      if (!(error instanceof ApiError) || !UNKNOWN.includes(error.status)) throw error;
    }
    await this.register(computer, hardware, say);
    return this.login();
  }

  forget(): void {
    this.session = undefined;
  }

  private async login(): Promise<string> {
    this.session = await json<Session>("/api/v1/auth/login", {
      method: "POST",
      body: { api_key: this.key() },
    });
    return this.session.token;
  }

  private async register(computer: Computer, hardware: Hardware, say: (text: string) => void): Promise<void> {
    const asked = await json<Challenge>("/api/v1/auth/challenge");
    if (asked.difficulty > WORK_BITS_MAX)
      throw new Error("The gateway asks for more work to register than a page can do.");
    say(`Registering: a proof of work of ${asked.difficulty} bits`);
    const nonce = await computer.solve(asked.challenge, this.key(), asked.difficulty);
    // A nonce is a 64-bit number: JSON.stringify would write it as one only up to 2^53, which no page reaches.
    const body = {
      api_key: this.key(),
      username: this.name,
      hardware,
      ticket: asked.ticket,
      nonce: Number(nonce),
    };
    const made = await json<{ username: string }>("/api/v1/auth/register", { method: "POST", body });
    this.name = made.username;
    say(`Registered as ${made.username}`);
  }

  private key(): string {
    const held = localStorage.getItem(KEY);
    if (held) return held;
    const random = crypto.getRandomValues(new Uint8Array(32));
    const text = btoa(String.fromCharCode(...random))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replace(/=+$/, "");
    localStorage.setItem(KEY, `pv1_${text}`);
    return `pv1_${text}`;
  }
}

/** What the gateway knows of this volunteer. */
export function workerStats(token: string): Promise<WorkerStats> {
  return json<WorkerStats>("/api/v1/worker/stats", { token });
}

/** The bytes of an answer, with how many are there as they come. Throws ApiError. */
export async function bytes(
  path: string,
  token: string,
  heard: (done: number, size: number) => void,
): Promise<ArrayBuffer> {
  const answer = await call(path, { token, accept: "*/*" });
  const size = Number(answer.headers.get("content-length") ?? 0);
  const pieces: Uint8Array[] = [];
  let done = 0;
  const reader = answer.body?.getReader();
  for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read()) {
    pieces.push(piece.value);
    done += piece.value.length;
    heard(done, size);
  }
  const whole = new Uint8Array(done);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole.buffer;
}
