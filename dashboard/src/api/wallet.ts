// What the node prepares for a wallet in the browser, and that wallet itself (EIP-1193).

export interface Sending {
  purpose: string;
  to: string;
  data: string;
}

export interface Prepared {
  request: string;
  price_wei: string;
  most_wei: string;
  chain_id: number;
  voucher_tokens: number;
  sendings: Sending[];
  voucher: { message: { request: string; tokens: number } } & Record<string, unknown>;
  begin: Record<string, unknown>;
}

export interface Provider {
  request(call: { method: string; params?: unknown[] }): Promise<unknown>;
}

declare global {
  interface Window {
    ethereum?: Provider;
  }
}

/** The browser's wallet, if it has one. */
export function provider(): Provider | undefined {
  return window.ethereum;
}
