import { createContext } from "preact";
import { useContext, useEffect, useMemo, useState } from "preact/hooks";
import { token } from "./api/token";
import type { Features, GlobalStats, NodeStatus, PanelState } from "./api/types";
import { type Point, type Resource, useGlobalStats, useHistory, useResource } from "./api/use";
import { LocalTrainer } from "./trainer/local";
import { PageTrainer } from "./trainer/page";
import type { Trainer } from "./trainer/trainer";

/** What all pages share: it goes on being collected while one moves from page to page. */
export interface Sources {
  features: Features;
  trainer: Trainer | undefined;
  panel: PanelState | undefined;
  lost: Error | undefined;
  stats: Resource<GlobalStats>;
  status: Resource<NodeStatus>;
  /** Tokens a second and loss, as they were while the page was open. */
  speeds: Point[];
  losses: Point[];
}

export const SourcesContext = createContext<Sources | undefined>(undefined);

export function useShared(): Sources {
  const found = useContext(SourcesContext);
  if (!found) throw new Error("a page stands outside of its sources");
  return found;
}

export function useSources(features: Features): Sources {
  const trainer = useMemo(() => trainerOf(features), [features]);
  const [panel, setPanel] = useState<PanelState>();
  const [lost, setLost] = useState<Error>();
  useEffect(() => {
    const heard = (state: PanelState) => {
      setPanel(state);
      setLost(undefined);
    };
    return trainer?.watch(heard, setLost);
  }, [trainer]);
  const direct = useGlobalStats(features.gateway && !features.panel);
  const stats = features.panel ? { data: panel?.network ?? undefined, error: undefined } : direct;
  const status = useResource<NodeStatus>(features.node ? "/dashboard/api/v1/status" : undefined, 1);
  const now = live(panel, status.data, stats.data);
  const speeds = useHistory(now.at, now.speed);
  const losses = useHistory(now.at, now.loss);
  return { features, trainer, panel, lost, stats, status, speeds, losses };
}

/** The volunteer process of this machine; at a gateway, this very page. */
function trainerOf(features: Features): Trainer | undefined {
  if (features.panel) return new LocalTrainer(token);
  return features.gateway ? new PageTrainer() : undefined;
}

interface Live {
  at: number | undefined;
  speed: number | null | undefined;
  loss: number | null | undefined;
}

/** The figures of whatever trains nearest: this machine's volunteer, else this node, else all of a gateway's. */
function live(
  panel: PanelState | undefined,
  node: NodeStatus | undefined,
  all: GlobalStats | undefined,
): Live {
  if (panel) return { at: panel.at, speed: panel.batch?.tokens_per_s ?? 0, loss: panel.batch?.loss };
  if (node?.now) return { at: node.now.updated, speed: node.now.tokens_per_s, loss: node.now.loss };
  return { at: all?.at, speed: all?.tokens_per_s, loss: all?.heldout_loss };
}
