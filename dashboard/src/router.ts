import { useEffect, useState } from "preact/hooks";
import type { Features } from "./api/types";

export type Route =
  | "volunteer"
  | "leaderboard"
  | "network"
  | "training"
  | "claims"
  | "vocabulary"
  | "inference";

export interface Entry {
  route: Route;
  name: string;
  group: string;
  shown: (features: Features) => boolean;
}

export const ENTRIES: readonly Entry[] = [
  { route: "volunteer", name: "Volunteer", group: "Take part", shown: (f) => f.panel || f.gateway },
  { route: "leaderboard", name: "Leaderboard", group: "Take part", shown: (f) => f.panel || f.gateway },
  { route: "network", name: "Network", group: "Watch", shown: (f) => f.node || f.gateway || f.panel },
  { route: "training", name: "Training", group: "Watch", shown: (f) => f.node || f.gateway || f.panel },
  { route: "claims", name: "Claims", group: "Watch", shown: (f) => f.node },
  { route: "vocabulary", name: "Vocabulary", group: "Watch", shown: (f) => f.node },
  { route: "inference", name: "Inference", group: "Use", shown: (f) => f.inference },
];

/** Where the pages are served: "/" or "/dashboard/". All pages lie one level below. */
export const base: string = location.pathname.slice(0, location.pathname.lastIndexOf("/") + 1);

function current(): string {
  return location.pathname.slice(base.length);
}

const listeners = new Set<() => void>();

/** Go to another page without loading one. */
export function go(route: Route): void {
  if (current() === route) return;
  history.pushState(null, "", base + route);
  for (const listener of listeners) listener();
}

/** The page that the address names; the first one there is where it names none. */
export function useRoute(features: Features): Route {
  const [name, setName] = useState(current());
  useEffect(() => {
    const changed = () => setName(current());
    listeners.add(changed);
    window.addEventListener("popstate", changed);
    return () => {
      listeners.delete(changed);
      window.removeEventListener("popstate", changed);
    };
  }, []);
  const entries = ENTRIES.filter((entry) => entry.shown(features));
  const found = entries.find((entry) => entry.route === name) ?? entries[0];
  return found?.route ?? "network";
}
