import { useState } from "preact/hooks";
import type { InferenceAnswer } from "../api/types";
import { neuro } from "../format";
import type { Question } from "../wallet/answer";

export type Payer = "browser" | "node";

export interface Wanted extends Question {
  payer: Payer;
}

interface Props {
  market: InferenceAnswer | undefined;
  browser: boolean;
  node: boolean;
  running: boolean;
  ask: (wanted: Wanted) => void;
  stop: () => void;
}

/** The question, its limits, and who pays. The most it can cost is said before anything is locked. */
export function AskForm(props: Props) {
  const { market } = props;
  const [prompt, setPrompt] = useState("");
  const [tokens, setTokens] = useState(32);
  const [heat, setHeat] = useState(0.7);
  const [chosen, setChosen] = useState<Payer>();
  const payer: Payer = chosen ?? (props.node ? "node" : "browser");
  const most = BigInt(market?.price_wei ?? "0") * BigInt(tokens);
  const ready = market !== undefined && !market.why_not && (payer === "node" ? props.node : props.browser);
  const submit = (event: Event) => {
    event.preventDefault();
    if (!ready || props.running || !prompt.trim()) return;
    // A price that rises between two looks by a tenth is still taken; one that doubles is not.
    const limit = (most * 11n) / 10n;
    props.ask({
      prompt,
      max_tokens: tokens,
      temperature_milli: Math.round(heat * 1000),
      max_fee_wei: limit.toString(),
      payer,
    });
    setPrompt("");
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) submit(event);
  };
  return (
    <form class="ask" onSubmit={submit}>
      <div class="field">
        <label for="prompt">
          <strong>Text to continue</strong>
        </label>
        <textarea
          id="prompt"
          rows={3}
          maxLength={8000}
          value={prompt}
          placeholder="It was the best of times"
          onInput={(event) => setPrompt(event.currentTarget.value)}
          onKeyDown={keys}
        />
      </div>
      <div class="ask-row">
        <div class="field">
          <div class="field-head">
            <label for="tokens">Most tokens</label>
            <output for="tokens" class="muted">
              {tokens}
            </output>
          </div>
          <input
            id="tokens"
            type="range"
            min={4}
            max={256}
            step={4}
            value={tokens}
            onInput={(event) => setTokens(event.currentTarget.valueAsNumber)}
          />
        </div>
        <div class="field">
          <div class="field-head">
            <label for="heat">Temperature</label>
            <output for="heat" class="muted">
              {heat === 0 ? "0, always the likeliest" : heat.toFixed(1)}
            </output>
          </div>
          <input
            id="heat"
            type="range"
            min={0}
            max={2}
            step={0.1}
            value={heat}
            onInput={(event) => setHeat(event.currentTarget.valueAsNumber)}
          />
        </div>
        <div class="field">
          <span>Costs at most</span>
          <strong>{market && !market.why_not ? neuro(most.toString()) : "–"}</strong>
        </div>
      </div>
      <Wallets browser={props.browser} node={props.node} payer={payer} choose={setChosen} />
      <div class="buttons">
        <button type="submit" class="button main" disabled={!ready || props.running || !prompt.trim()}>
          Ask and pay
        </button>
        <button type="button" class="button" disabled={!props.running} onClick={props.stop}>
          Stop
        </button>
      </div>
    </form>
  );
}

interface WalletsProps {
  browser: boolean;
  node: boolean;
  payer: Payer;
  choose: (payer: Payer) => void;
}

function Wallets(props: WalletsProps) {
  const rows: { payer: Payer; name: string; there: boolean; words: string }[] = [
    {
      payer: "node",
      name: "The node's wallet",
      there: props.node,
      words: props.node ? "The node signs by itself." : "Locked: start ponw dashboard --wallet.",
    },
    {
      payer: "browser",
      name: "Your wallet",
      there: props.browser,
      words: props.browser ? "It asks you to confirm every few tokens." : "This browser has none (EIP-1193).",
    },
  ];
  return (
    <fieldset class="wallets">
      <legend>Paid from</legend>
      {rows.map((row) => (
        <label key={row.payer} class="wallet">
          <input
            type="radio"
            name="payer"
            value={row.payer}
            checked={props.payer === row.payer}
            disabled={!row.there}
            onChange={() => props.choose(row.payer)}
          />
          <span>
            <strong>{row.name}</strong>
            <br />
            <span class="muted small">{row.words}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}
