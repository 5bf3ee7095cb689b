import { useRef, useState } from "preact/hooks";
import { type ApiError, asApiError } from "../api/http";
import { token } from "../api/token";
import type { InferenceAnswer } from "../api/types";
import { useResource } from "../api/use";
import { provider } from "../api/wallet";
import { count, neuro, plural } from "../format";
import { Card, Empty, Failure, Loading, Pill, Short, Stat, Stats } from "../parts/basics";
import { Heading } from "../parts/shell";
import type { Progress, Purse } from "../wallet/answer";
import { BrowserPurse } from "../wallet/browser";
import { NodePurse } from "../wallet/node";
import { AskForm, type Payer, type Wanted } from "./ask";

interface Turn {
  id: number;
  prompt: string;
  text: string;
  doing: string;
  tokens: number;
  paid: number;
  price: string;
  reason: string;
  settled: number | undefined;
  error: ApiError | undefined;
  over: boolean;
}

const REASONS: Record<string, string> = {
  eos: "the model ended it",
  length: "as long as was asked for",
  stopped: "stopped by you",
  cancelled: "cancelled",
  failed: "the server failed",
};

export function InferencePage() {
  const market = useResource<InferenceAnswer>("/dashboard/api/v1/inference", 5);
  return (
    <>
      <Heading title="Inference">
        Ask the model that is being trained. Each answer is paid for token by token, and can be checked bit
        for bit.
      </Heading>
      <div class="grid">
        <div class="two-thirds">
          <Chat market={market.data} />
        </div>
        <div class="third">
          <Market answer={market.data} error={market.error} />
        </div>
      </div>
    </>
  );
}

function Market(props: { answer: InferenceAnswer | undefined; error: ApiError | undefined }) {
  const { answer, error } = props;
  if (!answer) return <Card title="Server">{error ? <Failure error={error} /> : <Loading lines={4} />}</Card>;
  if (answer.why_not) {
    return (
      <Card title="Server">
        <Empty title="Nobody answers now">{answer.why_not}</Empty>
      </Card>
    );
  }
  return (
    <Card title="Server" note={answer.busy < answer.slots ? "free" : "busy"}>
      <Stats>
        <Stat
          label="A token"
          value={<small data-price>{neuro(answer.price_wei)}</small>}
          hint={`tier ${answer.tier}`}
        />
        <Stat label="Places" value={`${answer.slots - answer.busy} of ${answer.slots}`} hint="free" />
        {answer.wallet && (
          <>
            <Stat
              label="Wallet"
              value={<small>{neuro(answer.wallet.balance_wei)}</small>}
              hint={<Short text={answer.wallet.account} />}
            />
            <Stat
              label="Deposit"
              value={<small>{neuro(answer.wallet.deposit_wei)}</small>}
              hint="at the escrow"
            />
          </>
        )}
      </Stats>
      <p class="muted small">
        {answer.server}, model <Short text={answer.model_root} />, version {answer.vocabulary} of the
        vocabulary.
      </p>
    </Card>
  );
}

function Chat({ market }: { market: InferenceAnswer | undefined }) {
  const [turns, setTurns] = useState<Turn[]>([]);
  const [ending, setEnding] = useState<AbortController>();
  const number = useRef(0);
  const wallet = provider();
  const ask = async (wanted: Wanted) => {
    const id = ++number.current;
    const change = (part: (turn: Turn) => Partial<Turn>) =>
      setTurns((all) => all.map((turn) => (turn.id === id ? { ...turn, ...part(turn) } : turn)));
    const controller = new AbortController();
    setEnding(controller);
    setTurns((all) => [...all, fresh(id, wanted.prompt)]);
    try {
      await purse(wanted.payer).ask(wanted, progress(change), controller.signal);
      change(() => ({ over: true, doing: "" }));
    } catch (thrown) {
      const stopped = controller.signal.aborted;
      change(() =>
        stopped
          ? { over: true, doing: "", reason: "stopped" }
          : { over: true, doing: "", error: asApiError(thrown) },
      );
    } finally {
      setEnding(undefined);
    }
  };
  const purse = (payer: Payer): Purse =>
    payer === "browser" && wallet ? new BrowserPurse(wallet) : new NodePurse(token);
  return (
    <Card class="chat">
      {turns.length === 0 && (
        <Empty title="Ask it something">
          The model is young. It continues text rather than answering questions.
        </Empty>
      )}
      <div class="chat" role="log" aria-label="Conversation">
        {turns.map((turn) => (
          <Exchange key={turn.id} turn={turn} />
        ))}
      </div>
      <AskForm
        market={market}
        browser={wallet !== undefined}
        node={market?.wallet !== null && market?.wallet !== undefined && token !== undefined}
        running={ending !== undefined}
        ask={(wanted) => void ask(wanted)}
        stop={() => ending?.abort()}
      />
    </Card>
  );
}

function fresh(id: number, prompt: string): Turn {
  return {
    id,
    prompt,
    text: "",
    doing: "",
    tokens: 0,
    paid: 0,
    price: "0",
    reason: "",
    settled: undefined,
    error: undefined,
    over: false,
  };
}

function progress(change: (part: (turn: Turn) => Partial<Turn>) => void): Progress {
  return {
    doing: (doing) => change(() => ({ doing })),
    quoted: (price) => change(() => ({ price })),
    text: (more) => change((turn) => ({ text: turn.text + more })),
    counted: (tokens, paid) => change(() => ({ tokens, paid })),
    over: (reason, settled) => change(() => ({ reason, settled })),
  };
}

function Exchange({ turn }: { turn: Turn }) {
  return (
    <article class="chat" aria-label={`Question ${turn.id}`} data-answer={turn.over ? "over" : "running"}>
      <div class="turn asked">
        <p class="turn-text">{turn.prompt}</p>
      </div>
      <div class="turn">
        {(turn.text || !turn.over) && (
          <p class="turn-text">
            <span data-text>{printable(turn.text)}</span>
            {!turn.over && <span class="cursor" aria-hidden="true" />}
          </p>
        )}
        {turn.error && <Failure error={turn.error} />}
        <p class="muted small">{summary(turn)}</p>
      </div>
    </article>
  );
}

function summary(turn: Turn) {
  if (!turn.over) return turn.doing || `${plural(turn.tokens, "token")}, ${count(turn.paid)} paid for`;
  const tokens = turn.settled ?? turn.paid;
  const cost = neuro((BigInt(turn.price) * BigInt(tokens)).toString());
  return (
    <>
      <Pill tone={turn.settled === undefined ? "plain" : "good"}>
        {turn.settled === undefined ? "not settled yet" : "paid"}
      </Pill>{" "}
      {plural(tokens, "token")} for <span data-cost>{cost}</span>
      {turn.reason && `; ${REASONS[turn.reason] ?? turn.reason}`}
    </>
  );
}

/** A server's text without control characters. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be shown
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd");
}
