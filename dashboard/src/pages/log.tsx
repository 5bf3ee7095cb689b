import type { LogLine } from "../api/types";
import { clock } from "../format";
import { Card, Empty } from "../parts/basics";

/** What happened on this machine, the newest line first. */
export function LogCard({ lines }: { lines: readonly LogLine[] }) {
  return (
    <Card title="Activity" class="half">
      {lines.length === 0 ? (
        <Empty title="Nothing has happened yet">Every download, batch and upload leaves a line here.</Empty>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        <div class="log" role="log" aria-label="Activity" tabIndex={0}>
          <ol>
            {[...lines].reverse().map((line, index) => (
              <li key={`${line.at} ${lines.length - index}`}>
                <time dateTime={new Date(line.at * 1000).toISOString()}>{clock(line.at)}</time>
                <span class={line.level}>{line.text}</span>
              </li>
            ))}
          </ol>
        </div>
      )}
    </Card>
  );
}
