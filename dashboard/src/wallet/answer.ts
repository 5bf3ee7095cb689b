/** What a page hears of an answer that is being paid for, whoever pays. */
export interface Progress {
  /** What happens now, in words. */
  doing: (words: string) => void;
  quoted: (priceWei: string, mostWei: string) => void;
  text: (more: string) => void;
  counted: (tokens: number, paid: number) => void;
  /** Tokens that were paid for in the end, or undefined where that is not known yet. */
  over: (reason: string, tokens: number | undefined) => void;
}

export interface Question {
  prompt: string;
  max_tokens: number;
  temperature_milli: number;
  max_fee_wei: string;
}

/** Someone who pays for an answer. `ask` ends when the answer does; it throws where nothing, or no more, comes. */
export interface Purse {
  readonly name: string;
  ask(question: Question, progress: Progress, signal: AbortSignal): Promise<void>;
}
