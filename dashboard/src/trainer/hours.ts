import type { Limits, Wish } from "../api/types";

interface Battery {
  charging: boolean;
}

const LOOK_MS = 15_000;

/** Why no step may run now, in words; undefined where one may. */
export async function obstacle(limits: Limits, wish: Wish): Promise<string | undefined> {
  if (wish === "pause") return "Paused by you.";
  if (limits.hours && !within(limits.hours, new Date())) return `Outside of ${limits.hours}.`;
  if (limits.pause_on_battery && (await onBattery())) return "On battery.";
  return undefined;
}

/** Some seconds later: hours and batteries give no notice that every browser has. */
export function whenAllowed(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, LOOK_MS));
}

/** Whether a local time lies in `22:00-06:30`; equal ends are the whole day. */
export function within(hours: string, at: Date): boolean {
  const [from, to] = hours.split("-").map((text) => {
    const [hour, minute] = text.split(":").map(Number);
    return (hour ?? 0) * 60 + (minute ?? 0);
  }) as [number, number];
  const minute = at.getHours() * 60 + at.getMinutes();
  if (from === to) return true;
  return from < to ? from <= minute && minute < to : minute >= from || minute < to;
}

async function onBattery(): Promise<boolean> {
  const ask = (navigator as { getBattery?: () => Promise<Battery> }).getBattery;
  return ask ? !(await ask.call(navigator)).charging : false;
}
