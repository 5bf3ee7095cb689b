import type { LeaderRow } from "../api/types";
import { useResource } from "../api/use";
import { count, percent } from "../format";
import { Card, Empty, Failure, Loading, Pill } from "../parts/basics";
import { Heading } from "../parts/shell";
import { type Column, Table } from "../parts/table";
import { useShared } from "../sources";

const COLUMNS: readonly Column<LeaderRow>[] = [
  { head: "Rank", cell: (row) => `#${row.rank}` },
  { head: "Volunteer", wide: true, cell: (row) => <strong>{row.username}</strong> },
  { head: "Batches", figure: true, cell: (row) => count(row.batches) },
  { head: "Tokens", figure: true, cell: (row) => count(row.tokens) },
  { head: "Reputation", figure: true, cell: (row) => percent(row.reputation / 10_000) },
  {
    head: "Badges",
    cell: (row) =>
      row.badges.length > 0
        ? row.badges.map((badge) => (
            <>
              <Pill key={badge} tone="accent">
                {badge}
              </Pill>{" "}
            </>
          ))
        : "–",
  },
];

export function LeaderboardPage() {
  const { panel } = useShared();
  const { data, error } = useResource<LeaderRow[] | { rows: LeaderRow[] }>("/api/v1/leaderboard", 4);
  const rows = Array.isArray(data) ? data : data?.rows;
  return (
    <>
      <Heading title="Leaderboard">
        Who has trained the most. Every figure is work that was checked and accepted.
      </Heading>
      <Card>
        {error && <Failure error={error} kept={rows !== undefined} />}
        {!rows && !error && <Loading lines={5} />}
        {rows?.length === 0 && (
          <Empty title="The board is empty">The first volunteer whose batch is accepted stands here.</Empty>
        )}
        {rows && rows.length > 0 && (
          <Table
            label="Volunteers by contribution"
            columns={COLUMNS}
            rows={rows}
            id={(row) => row.rank}
            mark={(row) => row.username === panel?.username}
          />
        )}
      </Card>
    </>
  );
}
