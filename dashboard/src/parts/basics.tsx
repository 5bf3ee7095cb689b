import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { ApiError } from "../api/http";
import { short } from "../format";

export function Card(props: {
  title?: string;
  note?: ComponentChildren;
  class?: string;
  children: ComponentChildren;
}) {
  return (
    <section class={`card ${props.class ?? ""}`} aria-label={props.title}>
      {props.title && (
        <header class="card-head">
          <h2>{props.title}</h2>
          {props.note && <span class="muted small">{props.note}</span>}
        </header>
      )}
      {props.children}
    </section>
  );
}

export function Stat(props: {
  label: string;
  value: ComponentChildren;
  hint?: ComponentChildren;
  id?: string;
}) {
  return (
    <div class="stat" data-stat={props.id}>
      <dt>{props.label}</dt>
      <dd class="figure">{props.value}</dd>
      {props.hint && <dd class="muted small">{props.hint}</dd>}
    </div>
  );
}

export function Stats(props: { children: ComponentChildren; class?: string }) {
  return <dl class={`stats ${props.class ?? ""}`}>{props.children}</dl>;
}

export type Tone = "plain" | "good" | "warn" | "bad" | "accent";

export function Pill(props: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`pill ${props.tone ?? "plain"}`}>{props.children}</span>;
}

/** A bar; `share` from 0 to 1. */
export function Bar(props: { label: string; share: number; text?: string; tone?: Tone; marker?: number }) {
  const share = Math.min(1, Math.max(0, props.share));
  return (
    <div
      class={`bar ${props.tone ?? "accent"}`}
      role="progressbar"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(share * 100)}
      aria-valuetext={props.text}
    >
      <span class="bar-fill" style={{ width: `${share * 100}%` }} />
      {props.marker !== undefined && <span class="bar-mark" style={{ left: `${props.marker * 100}%` }} />}
    </div>
  );
}

/** What a page shows where there is nothing yet: what would be here, and what brings it about. */
export function Empty(props: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <svg viewBox="0 0 48 24" aria-hidden="true" focusable="false">
        <path d="M2 12c8 0 8-8 15-8s7 16 14 16 7-8 15-8" />
      </svg>
      <p class="empty-title">{props.title}</p>
      {props.children && <p class="muted">{props.children}</p>}
    </div>
  );
}

export function Failure(props: { error: ApiError; kept?: boolean }) {
  return (
    <div class="failure" role="alert">
      <strong>{props.error.message}</strong>
      {props.error.hint && <span> {props.error.hint}</span>}
      {props.kept && <span class="muted"> What is shown is the last that came.</span>}
    </div>
  );
}

export function Loading(props: { lines?: number }) {
  return (
    <div class="loading" role="status" aria-label="Loading">
      {Array.from({ length: props.lines ?? 3 }, (_, line) => (
        <span key={line} class="skeleton" />
      ))}
    </div>
  );
}

/** A hash or an account, short, with its whole text as title. */
export function Short(props: { text: string }) {
  return (
    <code class="short" title={props.text}>
      {short(props.text)}
    </code>
  );
}

export function Copy(props: { text: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(props.text);
    setDone(true);
    setTimeout(() => setDone(false), 1600);
  };
  return (
    <div class="copy">
      <code>{props.text}</code>
      <button type="button" class="button quiet" onClick={() => void copy()}>
        {done ? "Copied" : "Copy"}
      </button>
    </div>
  );
}
