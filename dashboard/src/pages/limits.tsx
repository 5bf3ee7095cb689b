import { useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, asApiError } from "../api/http";
import type { Limits, PanelState } from "../api/types";
import { percent } from "../format";
import { Card, Failure } from "../parts/basics";
import type { Trainer } from "../trainer/trainer";

const SEND_MS = 400;

/** What the machine's owner allows. Sent a moment after the last change. */
export function LimitsCard({ panel, trainer }: { panel: PanelState; trainer: Trainer }) {
  const [draft, setDraft] = useState<Limits>(panel.limits);
  const [error, setError] = useState<ApiError>();
  const [saved, setSaved] = useState(true);
  const timer = useRef(0);
  useEffect(() => {
    if (saved) setDraft(panel.limits);
  }, [panel.limits, saved]);
  const change = (part: Partial<Limits>) => {
    const next = { ...draft, ...part };
    setDraft(next);
    setSaved(false);
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => void send(next), SEND_MS);
  };
  const send = async (limits: Limits) => {
    try {
      await trainer.limit(limits);
      setError(undefined);
    } catch (thrown) {
      setError(asApiError(thrown));
    }
    setSaved(true);
  };
  const threads = Math.max(1, panel.hardware.threads);
  const machine = [panel.hardware.cpu, panel.hardware.gpu].filter(Boolean).join(" · ") || "this machine";
  return (
    <Card title="How much it may use" note={saved ? machine : "saving…"} class="half">
      <div class="fields">
        <Slider
          id="share"
          label="Share of the time"
          min={0.05}
          max={1}
          step={0.05}
          value={draft.cpu_share}
          shown={percent(draft.cpu_share)}
          change={(cpu_share) => change({ cpu_share })}
        />
        <Slider
          id="threads"
          label="Processor threads"
          min={1}
          max={threads}
          step={1}
          value={draft.cpu_threads ?? threads}
          shown={draft.cpu_threads === null ? `all ${threads}` : `${draft.cpu_threads} of ${threads}`}
          change={(value) => change({ cpu_threads: value === threads ? null : value })}
        />
        {panel.hardware.gpu && (
          <Slider
            id="gpu"
            label="Graphics memory"
            min={0.05}
            max={1}
            step={0.05}
            value={draft.gpu_memory_share}
            shown={percent(draft.gpu_memory_share)}
            change={(gpu_memory_share) => change({ gpu_memory_share })}
          />
        )}
        <Hours hours={draft.hours} change={(hours) => change({ hours })} />
        <label class="check">
          <input
            type="checkbox"
            checked={draft.pause_on_battery}
            onChange={(event) => change({ pause_on_battery: event.currentTarget.checked })}
          />
          Pause on battery
        </label>
        <div class="field">
          <div class="field-head">
            <label for="batches">Batches in this session</label>
            <span class="muted small">empty: no end</span>
          </div>
          <input
            id="batches"
            type="number"
            min={1}
            max={1_000_000}
            value={draft.max_batches ?? ""}
            onInput={(event) => {
              const value = event.currentTarget.valueAsNumber;
              if (!event.currentTarget.validity.valid) return;
              change({ max_batches: Number.isNaN(value) ? null : value });
            }}
          />
        </div>
        {panel.machine_notes.map((note) => (
          <p key={note} class="muted small">
            {note}
          </p>
        ))}
        {error && <Failure error={error} />}
      </div>
    </Card>
  );
}

interface SliderProps {
  id: string;
  label: string;
  min: number;
  max: number;
  step: number;
  value: number;
  shown: string;
  change: (value: number) => void;
}

function Slider(props: SliderProps) {
  return (
    <div class="field">
      <div class="field-head">
        <label for={props.id}>{props.label}</label>
        <output for={props.id} class="muted">
          {props.shown}
        </output>
      </div>
      <input
        id={props.id}
        type="range"
        min={props.min}
        max={props.max}
        step={props.step}
        value={props.value}
        disabled={props.min === props.max}
        aria-valuetext={props.shown}
        onInput={(event) => props.change(event.currentTarget.valueAsNumber)}
      />
    </div>
  );
}

const NIGHT = "22:00-06:30";

function Hours(props: { hours: string | null; change: (hours: string | null) => void }) {
  const [from = "", to = ""] = (props.hours ?? "").split("-");
  const set = (start: string, end: string) => {
    if (start && end) props.change(`${start}-${end}`);
  };
  return (
    <div class="field">
      <label class="check">
        <input
          type="checkbox"
          checked={props.hours !== null}
          onChange={(event) => props.change(event.currentTarget.checked ? NIGHT : null)}
        />
        Only at some hours
      </label>
      {props.hours !== null && (
        <div class="times">
          <input
            type="time"
            aria-label="From"
            value={from}
            onChange={(event) => set(event.currentTarget.value, to)}
          />
          <span class="muted">to</span>
          <input
            type="time"
            aria-label="To"
            value={to}
            onChange={(event) => set(from, event.currentTarget.value)}
          />
        </div>
      )}
    </div>
  );
}
