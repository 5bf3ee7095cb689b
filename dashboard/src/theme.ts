import { useEffect, useState } from "preact/hooks";

export type Theme = "system" | "light" | "dark";
const KEY = "ponw-theme";
const ORDER: readonly Theme[] = ["system", "light", "dark"];

function read(): Theme {
  const chosen = document.documentElement.dataset.theme;
  return chosen === "light" || chosen === "dark" ? chosen : "system";
}

/** The theme in force, and a way to the next one. */
export function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState<Theme>(read);
  const next = () => {
    const chosen = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length] ?? "system";
    if (chosen === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    try {
      if (chosen === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, chosen);
    } catch {
      // Storage may be blocked; then the choice holds for this page only.
    }
    setTheme(chosen);
    window.dispatchEvent(new Event("ponw-theme"));
  };
  return [theme, next];
}

/** Counts up whenever colours may have changed, for what draws on a canvas. */
export function useColours(): number {
  const [times, setTimes] = useState(0);
  useEffect(() => {
    const changed = () => setTimes((before) => before + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    media.addEventListener("change", changed);
    window.addEventListener("ponw-theme", changed);
    return () => {
      media.removeEventListener("change", changed);
      window.removeEventListener("ponw-theme", changed);
    };
  }, []);
  return times;
}
