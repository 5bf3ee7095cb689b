import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { useColours } from "../theme";

interface Props {
  /** What is drawn, for who cannot see it. */
  label: string;
  xs: readonly number[];
  ys: readonly (number | null)[];
  /** Whether `xs` are Unix seconds. */
  time?: boolean;
  height?: number;
  value: (y: number) => string;
  x?: (x: number) => string;
  /** Fill below the line, from zero. */
  area?: boolean;
}

const GRID_X = 72;

/** One line over time or steps. Drawn on a canvas; its last value and its range stand in the label. */
export function Chart(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const colours = useColours();
  const shape = `${props.time ?? false} ${props.area ?? false} ${colours}`;

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const made = new uPlot(options(props, element), data(props), element);
    plot.current = made;
    const sized = new ResizeObserver(() => {
      made.setSize({ width: element.clientWidth, height: props.height ?? 200 });
    });
    sized.observe(element);
    return () => {
      sized.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(data(props));
  }, [props.xs, props.ys]);

  return <div class="chart" role="img" aria-label={describe(props)} ref={place} />;
}

function data(props: Props): uPlot.AlignedData {
  return [props.xs as number[], props.ys as (number | null)[]];
}

function describe(props: Props): string {
  const known = props.ys.filter((y): y is number => y !== null);
  const last = known.at(-1);
  if (last === undefined) return `${props.label}: nothing yet`;
  const range = `from ${props.value(Math.min(...known))} to ${props.value(Math.max(...known))}`;
  return `${props.label}: ${known.length} values ${range}, now ${props.value(last)}`;
}

function colour(element: Element, name: string): string {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

function options(props: Props, element: HTMLElement): uPlot.Options {
  const muted = colour(element, "--muted");
  const line = colour(element, "--line");
  const accent = colour(element, "--accent");
  const font = "12px 'Inter Variable', system-ui, sans-serif";
  const axis = { stroke: muted, font, ticks: { show: false }, grid: { stroke: line, width: 1 } };
  return {
    width: element.clientWidth,
    height: props.height ?? 200,
    padding: [12, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
    scales: {
      x: { time: props.time ?? false },
      y: { range: (_plot, low, high) => room(low, high, props.area ?? false) },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 34,
        space: GRID_X,
        values: (_plot, splits) =>
          splits.map((x) => (props.x ? props.x(x) : Number.isInteger(x) ? `${x}` : "")),
      },
      { ...axis, size: 56, space: 36, values: (_plot, splits) => splits.map((y) => props.value(y)) },
    ],
    series: [
      {},
      {
        stroke: accent,
        width: 2,
        spanGaps: true,
        points: { show: props.xs.length < 2, size: 6 },
        ...(props.area ? { fill: colour(element, "--accent-wash"), fillTo: 0 } : {}),
      },
    ],
  };
}

/** A range with some air, from zero for areas; a flat line stands in the middle. */
function room(low: number | null, high: number | null, zero: boolean): [number, number] {
  if (low === null || high === null) return [0, 1];
  const air = (high - low) * 0.12 || Math.abs(high) * 0.1 || 1;
  return [zero ? 0 : low - air, high + air];
}
