import type { ComponentChildren } from "preact";
import type { GrowthEntry, PledgeEntry, ProposalEntry, VoteEntry } from "../api/types";
import { duration, neuro, plural } from "../format";
import { Bar, Pill, Short, type Tone } from "../parts/basics";

const TONES: Record<string, Tone> = {
  pending: "plain",
  active: "accent",
  succeeded: "good",
  queued: "good",
  executed: "good",
  defeated: "bad",
};
const NAMES: Record<string, string> = {
  pending: "in discussion",
  active: "vote open",
  succeeded: "passed",
  queued: "in grace",
  executed: "activated",
};

export function isOpen(one: VoteEntry): boolean {
  return ["pending", "active", "succeeded", "queued"].includes(one.state);
}

/** A proposed change of the vocabulary; `now` is the chain's time. */
export function WordVote({ one, now }: { one: ProposalEntry; now: number }) {
  const more = one.merges - one.tokens.length;
  return (
    <article class="vote" aria-label={`Proposal ${one.id.slice(0, 14)}`} data-proposal={one.state}>
      <Head one={one} then={one.eta} now={now} />
      <Standing one={one} />
      {one.tokens.length > 0 && (
        <ul class="tokens" aria-label={plural(one.merges, "new token")}>
          {one.tokens.map((token, index) => (
            <li key={`${index} ${token}`}>
              <code>{token}</code>
            </li>
          ))}
          {more > 0 && <li class="muted">and {more} more</li>}
        </ul>
      )}
    </article>
  );
}

/** A proposed growth of layers, and who has said to hold the new ones. */
export function DepthVote({ one, now }: { one: GrowthEntry; now: number }) {
  const more = one.pledged - one.pledges.length;
  return (
    <article class="vote" aria-label={`Growth ${one.id.slice(0, 14)}`} data-growth={one.state}>
      <Head one={one} then={one.decided_from} now={now}>
        <strong>
          {one.before} → {one.after} layers
        </strong>{" "}
      </Head>
      <Standing one={one} />
      <p class="small">
        {plural(one.pledged, "pledge")}
        {one.holders && <span class="muted"> · {one.holders}</span>}
        {one.extensions > 0 && (
          <span class="muted">
            {" "}
            · put off {one.extensions} of {one.extensions_most} times
          </span>
        )}
      </p>
      {one.pledges.length > 0 && (
        <ul class="tokens" aria-label={plural(one.pledged, "pledge")}>
          {one.pledges.map((pledge) => (
            <li key={pledge.account}>
              <Short text={pledge.account} /> {layers(pledge)}, tier {pledge.tier}
            </li>
          ))}
          {more > 0 && <li class="muted">and {more} more</li>}
        </ul>
      )}
    </article>
  );
}

function layers(pledge: PledgeEntry): string {
  const last = pledge.first + pledge.count - 1;
  return pledge.count === 1 ? `layer ${pledge.first}` : `layers ${pledge.first} to ${last}`;
}

function Head(props: { one: VoteEntry; then: number; now: number; children?: ComponentChildren }) {
  const { one } = props;
  const left = deadline(one, props.then, props.now);
  return (
    <>
      <div class="vote-head">
        <span>
          {props.children}
          <Short text={one.id} /> <span class="muted">by</span> <Short text={one.proposer} />
        </span>
        <span>
          {left && <span class="muted small">{left} </span>}
          <Pill tone={TONES[one.state] ?? "plain"}>{NAMES[one.state] ?? one.state}</Pill>
        </span>
      </div>
      <p class="muted">{one.words}</p>
    </>
  );
}

/** What comes next, and when; `then` is what follows a vote that has passed. */
function deadline(one: VoteEntry, then: number, now: number): string {
  const [what, at] =
    one.state === "pending"
      ? ["vote begins", one.vote_starts]
      : one.state === "active"
        ? ["vote ends", one.vote_ends]
        : one.state === "queued"
          ? ["grace ends", then]
          : ["", 0];
  return at > now ? `${what} in ${duration(at - now)}` : "";
}

function Standing({ one }: { one: VoteEntry }) {
  if (one.state === "pending") return null;
  return (
    <>
      <div class="vote-bars">
        <div class="field">
          <span class="small">
            Approval{" "}
            <span class="muted">
              {one.approval_bps / 100}% of {one.approval_needed_bps / 100}% needed
            </span>
          </span>
          <Bar label="Approval" share={one.approval_bps / 10_000} marker={one.approval_needed_bps / 10_000} />
        </div>
        <div class="field">
          <span class="small">
            Quorum <span class="muted">{one.quorum_bps / 100}%</span>
          </span>
          <Bar label="Quorum" share={one.quorum_bps / 10_000} tone="plain" />
        </div>
      </div>
      <p class="small muted">
        For {neuro(one.approve_wei)} · against {neuro(one.reject_wei)} · abstain {neuro(one.abstain_wei)}
      </p>
    </>
  );
}
