import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Why } from "../app";
import { base, ENTRIES, go, type Route } from "../router";
import { useShared } from "../sources";
import { useTheme } from "../theme";

/** Brand, way to the pages, the line that says what happens, and the page itself. */
export function Shell(props: { route: Route; why: Why | undefined; children: ComponentChildren }) {
  const [open, setOpen] = useState(false);
  return (
    <div class="shell">
      <button type="button" class="skip button" onClick={skip}>
        Skip to the content
      </button>
      <header class="rail">
        <div class="rail-head">
          <span class="brand">
            <Mark />
            ponw
          </span>
          <button
            type="button"
            class="button quiet menu"
            aria-expanded={open}
            aria-controls="pages"
            onClick={() => setOpen(!open)}
          >
            {open ? "Close" : "Menu"}
          </button>
        </div>
        <Pages route={props.route} open={open} chosen={() => setOpen(false)} />
        <ThemeButton />
      </header>
      <main id="content" tabIndex={-1}>
        <Line why={props.why} />
        {props.children}
      </main>
    </div>
  );
}

function skip() {
  document.getElementById("content")?.focus();
}

function Pages(props: { route: Route; open: boolean; chosen: () => void }) {
  const { features } = useShared();
  const entries = ENTRIES.filter((entry) => entry.shown(features));
  const groups = [...new Set(entries.map((entry) => entry.group))];
  const choose = (event: MouseEvent, route: Route) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go(route);
    props.chosen();
  };
  return (
    <nav id="pages" class={props.open ? "open" : ""} aria-label="Pages">
      {groups.map((group) => (
        <div key={group} class="group">
          <p class="group-name">{group}</p>
          <ul>
            {entries
              .filter((entry) => entry.group === group)
              .map((entry) => (
                <li key={entry.route}>
                  <a
                    href={base + entry.route}
                    aria-current={entry.route === props.route ? "page" : undefined}
                    onClick={(event) => choose(event, entry.route)}
                  >
                    {entry.name}
                  </a>
                </li>
              ))}
          </ul>
        </div>
      ))}
    </nav>
  );
}

function Line(props: { why: Why | undefined }) {
  return (
    <p class="why" role="status">
      <span class={`dot ${props.why?.busy ? "busy" : ""}`} aria-hidden="true" />
      <span data-why>{props.why?.text ?? "Connecting…"}</span>
    </p>
  );
}

function ThemeButton() {
  const [theme, next] = useTheme();
  const names = { system: "Automatic", light: "Light", dark: "Dark" };
  return (
    <button type="button" class="button quiet theme" onClick={next}>
      <span class="muted">Theme</span> {names[theme]}
    </button>
  );
}

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path d="M7 10c4 0 5 12 9 12s5-12 9-12" />
      <circle cx="16" cy="22" r="2.4" />
    </svg>
  );
}

export function Heading(props: { title: string; children?: ComponentChildren }) {
  return (
    <div class="heading">
      <h1 tabIndex={-1}>{props.title}</h1>
      {props.children && <p class="lead">{props.children}</p>}
    </div>
  );
}
