// Figures in words. One locale for all pages: the text is English.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const WEI = 10n ** 18n;

export function count(value: number): string {
  return value < 100_000 ? whole.format(value) : compact.format(value);
}

export function exact(value: number): string {
  return whole.format(value);
}

export function speed(value: number): string {
  return value >= 100 ? count(value) : value.toFixed(1);
}

export function loss(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : value.toFixed(4);
}

export function percent(share: number): string {
  return `${Math.round(share * 100)}%`;
}

export function bytes(value: number): string {
  let unit = 0;
  let left = value;
  while (left >= 1024 && unit < UNITS.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? left : left.toFixed(1)} ${UNITS[unit]}`;
}

/** An account or a hash as people compare it. */
export function short(text: string): string {
  return text.length > 14 ? `${text.slice(0, 8)}…${text.slice(-4)}` : text;
}

export function duration(seconds: number): string {
  const left = Math.max(0, Math.round(seconds));
  if (left < 60) return `${left} s`;
  if (left < 3600) return `${Math.floor(left / 60)} min ${left % 60} s`;
  if (left < 86_400) return `${Math.floor(left / 3600)} h ${Math.floor((left % 3600) / 60)} min`;
  return `${Math.floor(left / 86_400)} d ${Math.floor((left % 86_400) / 3600)} h`;
}

export function ago(at: number, now = Date.now() / 1000): string {
  const gone = now - at;
  return gone < 2 ? "just now" : `${duration(gone)} ago`;
}

export function clock(at: number): string {
  return new Date(at * 1000).toLocaleTimeString("en-GB");
}

export function date(at: number): string {
  return new Date(at * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** Decimal text in wei as NEURO, six digits after the point at most. */
export function neuro(wei: string): string {
  const value = BigInt(wei);
  const rest = (value % WEI).toString().padStart(18, "0").slice(0, 6).replace(/0+$/, "");
  return `${(value / WEI).toLocaleString("en")}${rest ? `.${rest}` : ""} NEURO`;
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}
