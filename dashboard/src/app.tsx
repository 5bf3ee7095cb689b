import { useEffect, useRef, useState } from "preact/hooks";
import type { Features } from "./api/types";
import { useResource } from "./api/use";
import { ClaimsPage } from "./pages/claims";
import { InferencePage } from "./pages/inference";
import { LeaderboardPage } from "./pages/leaderboard";
import { NetworkPage } from "./pages/network";
import { TrainingPage } from "./pages/training";
import { VocabularyPage } from "./pages/vocabulary";
import { VolunteerPage } from "./pages/volunteer";
import { Failure, Loading } from "./parts/basics";
import { Shell } from "./parts/shell";
import { base, ENTRIES, type Route, useRoute } from "./router";
import { type Sources, SourcesContext, useSources } from "./sources";

const PAGES: Record<Route, () => preact.JSX.Element> = {
  volunteer: VolunteerPage,
  leaderboard: LeaderboardPage,
  network: NetworkPage,
  training: TrainingPage,
  claims: ClaimsPage,
  vocabulary: VocabularyPage,
  inference: InferencePage,
};

/** Asks what the server offers, then shows the pages that it can fill. */
export function App() {
  const [found, setFound] = useState<Features>();
  const features = useResource<Features>(found ? undefined : `${base}dashboard.json`, 2);
  useEffect(() => {
    if (features.data) setFound(features.data);
  }, [features.data]);
  if (found) return <Pages features={found} />;
  return <main class="alone">{features.error ? <Failure error={features.error} /> : <Loading />}</main>;
}

function Pages(props: { features: Features }) {
  const route = useRoute(props.features);
  const sources = useSources(props.features);
  useHeading(route);
  const Page = PAGES[route];
  return (
    <SourcesContext.Provider value={sources}>
      <Shell route={route} why={whyIdle(sources)}>
        <Page key={route} />
      </Shell>
    </SourcesContext.Provider>
  );
}

/** Names the window after the page, and puts the focus on the heading of a page that was gone to. */
function useHeading(route: Route) {
  const first = useRef(true);
  useEffect(() => {
    const entry = ENTRIES.find((one) => one.route === route);
    document.title = entry ? `${entry.name} · ponw` : "ponw";
    if (!first.current) document.querySelector<HTMLElement>("h1")?.focus();
    first.current = false;
  }, [route]);
}

export interface Why {
  text: string;
  busy: boolean;
}

/** The one line that says what happens, or why nothing does. */
function whyIdle(sources: Sources): Why | undefined {
  const { panel, lost, stats, status } = sources;
  if (sources.features.panel) {
    if (lost && !panel) return { text: `${lost.message} Start it again with ponw volunteer.`, busy: false };
    if (!panel) return undefined;
    if (lost) return { text: lost.message, busy: false };
    if (panel.reason)
      return { text: `Nothing is training here: ${panel.reason}.`.replace("..", "."), busy: false };
    if (panel.batch)
      return { text: `Training step ${panel.batch.step} of ${panel.batch.steps}.`, busy: true };
    return { text: `This machine is ${panel.phase}.`, busy: panel.phase !== "idle" };
  }
  if (sources.features.node && status.data) {
    const { idle_reason, now } = status.data;
    if (idle_reason) return { text: idle_reason, busy: false };
    return {
      text: now ? `Round ${now.round}: ${now.activity}, step ${now.step} of ${now.steps}.` : "",
      busy: true,
    };
  }
  if (sources.features.gateway && stats.data) {
    const { idle_reason, active_workers } = stats.data;
    if (idle_reason) return { text: `Nothing is happening: ${idle_reason}`, busy: false };
    return {
      text: `${active_workers} ${active_workers === 1 ? "volunteer is" : "volunteers are"} training now.`,
      busy: true,
    };
  }
  return undefined;
}
